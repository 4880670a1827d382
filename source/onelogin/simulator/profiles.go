package simulator

import "maps"

// op is a value of an event that is not the same in each event of a profile.
type op uint8

const (
	opNone op = iota
	opAccount
	opCreated
	opType
	opID
	opActorID
	opActorName
	opUserID
	opUserName
	opAppID
	opAppName
	opRoleID
	opRoleName
	opGroupID
	opGroupName
	opOTPID
	opOTPName
	opPolicyID
	opPolicyName
	opNotes
	opTransitions
	opIP
	opProxyIP
	opFreeText
	opClientID
	opRiskScore
	opRiskReasons
	opUUID
	opFingerprint
	opNumber
)

// keys are the fields of an event in the order of the API's answers.
var keys = [...]string{
	"account_id", "actor_system", "actor_user_id", "actor_user_name", "app_id", "app_name",
	"assuming_acting_user_id", "browser_fingerprint", "client_id", "created_at", "custom_message", "directory_id",
	"directory_sync_run_id", "error_description", "event_type_id", "event_type_ids", "group_id", "group_name", "id",
	"ipaddr", "notes", "operation_name", "otp_device_id", "otp_device_name", "policy_id", "policy_name", "proxy_ip",
	"resolution", "resource_type_id", "risk_cookie_id", "risk_reasons", "risk_score", "role_id", "role_name", "since",
	"until", "user_id", "user_name",
}

// profile is a kind of event: which fields are not null, and with what. A
// string is literal JSON.
type profile struct {
	eventType int // 0: any known type
	weight    int // how often, of the sum of all weights
	fields    map[string]any
	notes     []string
}

func with(base map[string]any, more map[string]any) map[string]any {
	m := make(map[string]any, len(base)+len(more))
	maps.Copy(m, base)
	maps.Copy(m, more)
	return m
}

var (
	always = map[string]any{"account_id": opAccount, "created_at": opCreated, "event_type_id": opType, "id": opID}
	acted  = with(always, map[string]any{"actor_user_id": opActorID, "actor_user_name": opActorName, "ipaddr": opIP})
	onUser = with(acted, map[string]any{"user_id": opUserID, "user_name": opUserName})
	onSelf = with(acted, map[string]any{"actor_user_id": opUserID, "actor_user_name": opUserName, "user_id": opUserID, "user_name": opUserName})
	risky  = map[string]any{
		"risk_score": opRiskScore, "risk_reasons": opRiskReasons, "risk_cookie_id": opUUID, "browser_fingerprint": opFingerprint,
	}
	system = with(always, map[string]any{"actor_system": `"Mapping"`, "actor_user_name": `"Mapping"`, "user_id": opUserID, "user_name": opUserName})
	app    = map[string]any{"app_id": opAppID, "app_name": opAppName}
	role   = map[string]any{"role_id": opRoleID, "role_name": opRoleName}
	group  = map[string]any{"group_id": opGroupID, "group_name": opGroupName}
	otp    = map[string]any{"otp_device_id": opOTPID, "otp_device_name": opOTPName}
	policy = map[string]any{"policy_id": opPolicyID, "policy_name": opPolicyName}
)

// profiles follow the samples that are public; their sum of weights is 64.
var profiles = [...]profile{
	{eventType: 5, weight: 16, fields: with(onSelf, with(risky, with(policy, map[string]any{"notes": opTransitions, "actor_system": `""`})))},
	{eventType: 8, weight: 14, fields: with(onSelf, with(risky, with(app, with(role, with(group, with(otp, map[string]any{"notes": opNotes, "actor_system": `""`, "proxy_ip": opProxyIP})))))),
		notes: []string{`"Initiated by OneLogin via SAML"`, `"Initiated by app"`, `"Initiated by OneLogin via form-based \u0026 basic auth"`}},
	{eventType: 6, weight: 4, fields: with(onSelf, with(policy, map[string]any{"notes": opNotes, "proxy_ip": opProxyIP})),
		notes: []string{`"Invalid credentials"`, `"Password expired"`, `"User <locked> & \"suspended\""`}},
	{eventType: 1002, weight: 3, fields: with(onSelf, with(policy, map[string]any{"notes": opNotes})),
		notes: []string{`"Validation failed"`}},
	{eventType: 1400, weight: 4, fields: with(onSelf, with(otp, map[string]any{"notes": opNotes})),
		notes: []string{`"Authentication method: OTP (Valid OTP). Factor name: OneLogin Email"`, `"Authentication method: OTP (Valid OTP). Factor name: OneLogin Protect"`}},
	{eventType: 14, weight: 4, fields: with(onUser, map[string]any{"notes": opNotes, "custom_message": opFreeText}),
		notes: []string{`"changed Group to examplegroup"`, `"changed Last name from Müller to M\u00fcller-Lüdenscheidt"`, `"changed Title to R&D <Lead>"`, `"changed Path to C:\\Users\\anna\nchanged Home to \/home\/anna"`}},
	{eventType: 13, weight: 2, fields: onUser},
	{eventType: 17, weight: 2, fields: onUser},
	{eventType: 72, weight: 1, fields: onUser},
	{eventType: 1, weight: 1, fields: with(acted, with(app, role))},
	{eventType: 4, weight: 1, fields: with(onUser, role)},
	{eventType: 1801, weight: 1, fields: with(onUser, role)},
	{eventType: 3020, weight: 1, fields: with(acted, group)},
	{eventType: 602, weight: 1, fields: with(onSelf, with(app, map[string]any{"ipaddr": "null"}))},
	{eventType: 3, weight: 1, fields: with(onUser, map[string]any{"assuming_acting_user_id": opActorID})},
	{eventType: 149, weight: 2, fields: with(system, role)},
	{eventType: 36, weight: 2, fields: with(system, with(app, map[string]any{"actor_system": `"Provisioning"`, "error_description": opFreeText, "resolution": `"retry"`, "operation_name": `"create_user"`, "resource_type_id": opNumber}))},
	{eventType: 117, weight: 1, fields: with(always, map[string]any{"actor_system": `"Directory"`, "directory_id": opNumber, "directory_sync_run_id": opNumber, "notes": opNotes}),
		notes: []string{`"0 users added\n3 users changed\n1 user removed"`}},
	{eventType: 501, weight: 1, fields: with(acted, map[string]any{"client_id": opClientID, "operation_name": `"index"`, "notes": opNotes}),
		notes: []string{`"\/api\/1\/events?since=2024-02-27T00:00:00Z&limit=50"`}},
	{weight: 2, fields: with(onUser, map[string]any{"notes": opNotes, "custom_message": opFreeText}), notes: freeTexts[:]},
}

// The pools below are literal JSON values as servers write them: some escape
// what others leave as it is, and neither form may be changed on the way.
var (
	userNames = [...]string{
		`"Harry Potter"`, `"Lance Armstrong"`, `"John Doe"`, `"Santiago Cuong"`, `"Zoë Brontë"`, `"李小龍"`,
		`"J\u00fcrgen M\u00fcller"`, `"Maeve O'Brien <maeve@example.com>"`, `"Tom & Jerry"`, `"Smith \u0026 Sons"`,
		`"Anna \"Ann\" Lee"`, `"Владимир Иванов"`, `"محمد علي"`, `"\ud83d\ude80 Rocket"`, `"😀 Smile"`, `"kim@example.com"`,
		`"\u003cscript\u003ealert(1)\u003c\/script\u003e"`, `"Ada Lovelace"`, `"Grace Hopper"`, `"Nguyễn Văn A"`,
	}
	appNames    = [...]string{`"Amiando"`, `"43 Things"`, `"AppWonder"`, `"AT&T Business"`, `"Box <Enterprise>"`, `"Café"`, `"Slack"`}
	roleNames   = [...]string{`"newrole"`, `"Admins"`, `"R\u0026D"`, `"Default"`, `"Vertrieb Süd"`}
	groupNames  = [...]string{`"createdgroup"`, `"examplegroup"`, `"Group 1"`, `"日本支社"`}
	otpNames    = [...]string{`"OneLogin OneLogin Email"`, `"Device 3"`, `"Ada's \"phone\""`, `"YubiKey"`}
	policyNames = [...]string{`"MFA-policy-odza"`, `"Default policy"`, `"Strict <MFA>"`}
	riskReasons = [...]string{
		`"Infrequent access from 73.68.253.46 (13%)\nLow trust for session (15%)...."`, `"New device\nNew location: Zürich"`, `""`,
	}
	freeTexts = [...]string{
		`"a note\nwith lines\r\nand\ttabs"`, `"<b>bold</b> & \"quoted\" \\ back\/slash"`, `"\u003cb\u003e \u0026 \u0027"`, `""`,
		"\"separators \u2028 and \u2029 as they are\"", `"nul \u0000, bell \u0007, del "`, `"combining e\u0301 and é and 👩‍👩‍👧"`,
		`"{\"id\":1,\"created_at\":\"not an event\"}"`, `"]},{\"id\":2}"`, `"error 0x80070005 (E_ACCESSDENIED)"`,
	}
)
