package simulator

import (
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	_ "embed" // the table of event types
)

//go:embed event-types.csv
var eventTypesCSV string

// eventType is a row of GET /api/1/events/types.
type eventType struct {
	ID          int    `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

var eventTypes = readEventTypes()

func readEventTypes() []eventType {
	rows, err := csv.NewReader(strings.NewReader(eventTypesCSV)).ReadAll()
	if err != nil {
		panic("the embedded table of event types is broken: " + err.Error())
	}
	types := make([]eventType, 0, len(rows))
	for _, row := range rows[1:] {
		id, err := strconv.Atoi(row[0])
		if err != nil {
			panic("the embedded table of event types is broken: " + err.Error())
		}
		types = append(types, eventType{ID: id, Name: row[1], Description: row[2]})
	}
	return types
}

// piece is literal JSON followed by a value.
type piece struct {
	text  string
	value op
}

// template is a profile made ready for rendering.
type template struct {
	eventType int
	pieces    []piece
	notes     []string
}

var (
	compact   = compile("", ":", ",", "")
	spaced    = compile("\n  ", ": ", " ,\n  ", "\n")
	nulls     = compileFields(always, "", ":", ",", "")
	byWeight  = weigh()
	futureKey = `,"zz_future_field":{"nested":[1,2.50,-0.0,1E+2,12345678901234567890123,null,{"a":"\u003c"}],"ok":true}`
)

func compile(begin, colon, comma, end string) []template {
	all := make([]template, len(profiles))
	for i, p := range profiles {
		all[i] = template{eventType: p.eventType, notes: p.notes, pieces: compileFields(p.fields, begin, colon, comma, end)}
	}
	return all
}

// compileFields leaves the closing brace to the renderer.
func compileFields(fields map[string]any, begin, colon, comma, end string) []piece {
	var pieces []piece
	text := "{" + begin
	for i, key := range keys {
		if i > 0 {
			text += comma
		}
		text += `"` + key + `"` + colon
		switch v := fields[key].(type) {
		case nil:
			text += "null"
		case string:
			text += v
		case op:
			pieces = append(pieces, piece{text, v})
			text = ""
		}
	}
	return append(pieces, piece{text + end, opNone})
}

func weigh() (table [64]uint8) {
	n := 0
	for i, p := range profiles {
		for range p.weight {
			table[n] = uint8(i)
			n++
		}
	}
	return table
}

// look is what an event looks like, apart from its place in time.
type look struct {
	h            uint64
	profile      uint8
	eventType    int
	user         int64 // ordinal; -1: the event has no user
	unknownField bool
	unknownType  bool
	nulls        bool
	spaced       bool
	broken       bool
	large        int
	// What it is written like.
	idAs      IDForm
	createdAs TimeForm
	brokenAs  BrokenForm
}

// odd tells that no client can read it as an event.
func (l *look) odd() bool {
	return l.broken || l.idAs == IDFloat || l.createdAs == TimeLocal || l.createdAs == TimeEpoch
}

func chance(h uint64, salt uint64, p float64) bool { return p > 0 && unit(sub(h, salt)) < p }

func (m *maker) look(t *Traffic, i int64) look {
	h := hash(m.seed, i)
	l := look{
		h:            h,
		profile:      byWeight[sub(h, saltProfile)%64],
		unknownField: chance(h, saltUnknownField, t.UnknownFields),
		unknownType:  chance(h, saltUnknownType, t.UnknownTypes),
		nulls:        chance(h, saltNulls, t.Nulls),
		spaced:       chance(h, saltSpaced, t.Spaced),
		broken:       chance(h, saltBroken, t.Broken),
		idAs:         t.IDAs,
		createdAs:    t.CreatedAs,
		brokenAs:     t.BrokenAs,
	}
	if chance(h, saltLarge, t.Large) {
		l.large = orDefault(t.LargeBytes, 1<<20)
	}
	p := &profiles[l.profile]
	switch {
	case l.unknownType:
		l.eventType = 990_000 + int(sub(h, saltType)%100)
	case p.eventType != 0:
		l.eventType = p.eventType
	default:
		l.eventType = eventTypes[sub(h, saltType)%uint64(len(eventTypes))].ID
	}
	l.user = -1
	if _, ok := p.fields["user_id"]; ok && !l.nulls {
		l.user = int64(sub(h, saltUser) % uint64(m.users))
	}
	return l
}

// userID is the id of a user by ordinal.
func (m *maker) userID(ordinal int64) int64 {
	return 226_000_000 + int64(m.seed%1_000_000) + 977*ordinal
}

func (m *maker) userName(ordinal int64) string {
	return userNames[(uint64(ordinal)+m.seed)%uint64(len(userNames))]
}

// render appends event i, the same bytes each time.
func (m *maker) render(b []byte, t *Traffic, i, created int64) []byte {
	return m.renderAs(b, m.look(t, i), m.id(i), created)
}

func (m *maker) renderAs(b []byte, l look, id, created int64) []byte {
	pieces, notes := compact[l.profile].pieces, compact[l.profile].notes
	switch {
	case l.nulls:
		pieces = nulls
	case l.spaced:
		pieces = spaced[l.profile].pieces
	}
	actor := int64(sub(l.h, saltActor) % uint64(m.users))
	r := sub(l.h, saltBody)
	for _, p := range pieces {
		b = append(b, p.text...)
		switch p.value {
		case opNone:
		case opAccount:
			b = strconv.AppendInt(b, m.account, 10)
		case opCreated:
			b = appendCreated(b, l.createdAs, created)
		case opType:
			b = strconv.AppendInt(b, int64(l.eventType), 10)
		case opID:
			b = appendID(b, l.idAs, id)
		case opActorID:
			b = strconv.AppendInt(b, m.userID(actor), 10)
		case opActorName:
			b = append(b, m.userName(actor)...)
		case opUserID:
			b = strconv.AppendInt(b, m.userID(l.user), 10)
		case opUserName:
			b = append(b, m.userName(l.user)...)
		case opNotes:
			if l.large > 0 {
				b = appendLarge(b, l.large)
			} else {
				b = append(b, notes[r>>20%uint64(len(notes))]...)
			}
		default:
			b = appendDetail(b, p.value, r)
		}
	}
	if l.large > 0 && !hasNotes(pieces) {
		b = append(b, `,"zz_attachment":`...)
		b = appendLarge(b, l.large)
	}
	if l.unknownField {
		b = append(b, futureKey...)
	}
	if l.broken {
		b = appendBroken(b, l.brokenAs, sub(l.h, saltBroken))
	}
	return append(b, '}')
}

func hasNotes(pieces []piece) bool {
	for _, p := range pieces {
		if p.value == opNotes {
			return true
		}
	}
	return false
}

func appendLarge(b []byte, n int) []byte {
	b = append(b, '"')
	b = append(b, strings.Repeat("large ", n/6+1)[:n]...)
	return append(b, '"')
}

// appendDetail appends a value that depends on nothing but r. Ids and names of
// the same thing are drawn from the same bits.
func appendDetail(b []byte, v op, r uint64) []byte {
	number := func(base, step, n uint64, bits int) []byte {
		return strconv.AppendUint(b, base+step*(r>>bits%n), 10)
	}
	switch v {
	case opAppID:
		return number(3_159_937, 24_992, uint64(len(appNames)), 0)
	case opAppName:
		return append(b, appNames[r%uint64(len(appNames))]...)
	case opRoleID:
		return number(712_587, 13, uint64(len(roleNames)), 4)
	case opRoleName:
		return append(b, roleNames[r>>4%uint64(len(roleNames))]...)
	case opGroupID:
		return number(509_316, 7, uint64(len(groupNames)), 8)
	case opGroupName:
		return append(b, groupNames[r>>8%uint64(len(groupNames))]...)
	case opOTPID:
		return number(18_013_181, 311, uint64(len(otpNames)), 12)
	case opOTPName:
		return append(b, otpNames[r>>12%uint64(len(otpNames))]...)
	case opPolicyID:
		return number(379_268, 3, uint64(len(policyNames)), 16)
	case opPolicyName:
		return append(b, policyNames[r>>16%uint64(len(policyNames))]...)
	case opIP:
		return appendIP(b, uint32(r>>24))
	case opProxyIP:
		if r>>30%4 != 0 {
			return append(b, "null"...)
		}
		return appendIP(b, uint32(r>>32))
	case opFreeText:
		return append(b, freeTexts[r>>40%uint64(len(freeTexts))]...)
	case opRiskScore:
		return number(0, 1, 101, 7)
	case opRiskReasons:
		return append(b, riskReasons[r>>44%uint64(len(riskReasons))]...)
	case opNumber:
		return number(90_001, 1, 5000, 22)
	default:
		return appendOpaque(b, v, r)
	}
}

// appendOpaque appends what looks random to its readers.
func appendOpaque(b []byte, v op, r uint64) []byte {
	switch v {
	case opTransitions:
		b = append(b, `"Authentication method: Login App.\nTransitions: username -> password\nCorrelation_id: `...)
		b = appendHex(b, mix(r), 16)
		return append(b, '"')
	case opUUID:
		x, y := mix(r+1), mix(r+2)
		b = appendHex(append(b, '"'), x, 8)
		b = appendHex(append(b, '-'), x>>32, 4)
		b = appendHex(append(b, "-4"...), x>>48, 3)
		b = appendHex(append(b, "-8"...), y>>48, 3)
		b = appendHex(append(b, '-'), y, 12)
		return append(b, '"')
	case opFingerprint:
		if r>>33%32 == 0 {
			return append(b, "true"...) // seen in one fixture
		}
		b = appendHex(append(b, '"'), mix(r+3), 16)
		b = appendHex(b, mix(r+4), 16)
		return append(b, '"')
	case opClientID: // documented as a text, an integer in fixtures
		if r>>34%2 == 0 {
			return strconv.AppendUint(b, r>>35%1_000_000, 10)
		}
		b = appendHex(append(b, '"'), mix(r+5), 16)
		return append(b, '"')
	default:
		panic("no value for field code " + strconv.Itoa(int(v)))
	}
}

func appendHex(b []byte, v uint64, digits int) []byte {
	const hexDigits = "0123456789abcdef"
	for range digits {
		b = append(b, hexDigits[v&15])
		v >>= 4
	}
	return b
}

func appendIP(b []byte, v uint32) []byte {
	b = strconv.AppendUint(append(b, '"'), uint64(v>>24%223+1), 10)
	b = strconv.AppendUint(append(b, '.'), uint64(v>>16&255), 10)
	b = strconv.AppendUint(append(b, '.'), uint64(v>>8&255), 10)
	b = strconv.AppendUint(append(b, '.'), uint64(v&255), 10)
	return append(b, '"')
}

// appendTime appends created_at as OneLogin writes it: UTC, three digits, Z.
func appendTime(b []byte, ns int64) []byte {
	t := time.Unix(0, ns).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	ms := t.Nanosecond() / 1e6
	two := func(v int, after byte) { b = append(b, byte('0'+v/10), byte('0'+v%10), after) }
	b = strconv.AppendInt(append(b, '"'), int64(year), 10)
	b = append(b, '-')
	two(int(month), '-')
	two(day, 'T')
	two(hour, ':')
	two(minute, ':')
	two(second, '.')
	return append(b, byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}
