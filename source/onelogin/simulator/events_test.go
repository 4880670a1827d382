package simulator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/source/onelogin/simulator"
)

// sample is a real event, with the names the publisher gave it.
const sample = `{"account_id":232548,"actor_system":null,"actor_user_id":232044969,"actor_user_name":"Harry Potter","app_id":null,"app_name":null,"assuming_acting_user_id":null,"browser_fingerprint":null,"client_id":null,"created_at":"2024-02-27T23:48:09.212Z","custom_message":null,"directory_id":null,"directory_sync_run_id":null,"error_description":null,"event_type_id":1002,"event_type_ids":null,"group_id":null,"group_name":null,"id":44994186214,"ipaddr":"8.8.8.8","notes":"Validation failed","operation_name":null,"otp_device_id":null,"otp_device_name":null,"policy_id":379268,"policy_name":"MFA-policy-odza","proxy_ip":null,"resolution":null,"resource_type_id":null,"risk_cookie_id":null,"risk_reasons":null,"risk_score":null,"role_id":null,"role_name":null,"since":null,"until":null,"user_id":232044969,"user_name":"Harry Potter"}`

// fields lists an object's keys in order, and the kinds of its values.
func fields(t *testing.T, raw string) (keys []string, values map[string]string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	values = map[string]string{}
	depth, key := 0, ""
	for d.More() || depth > 0 {
		tok, err := d.Token()
		if err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			if depth > 1 {
				t.Fatalf("nested value in %s", raw)
			}
		case string:
			if key == "" {
				key = v
				keys = append(keys, v)
				continue
			}
			values[key], key = "string", ""
		default:
			values[key], key = fmt.Sprintf("%T", v), ""
		}
	}
	return keys, values
}

func TestEventsLookReal(t *testing.T) {
	s, _ := one(t, func(_ *simulator.Config, tenant *simulator.Tenant) { tenant.Backlog = 5000 })
	want, _ := fields(t, sample)
	seen := map[string]map[string]int{}
	types := map[int]int{}
	var all strings.Builder
	for _, f := range truth(t, s, "acme") {
		keys, values := fields(t, f.raw)
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Fatalf("fields (-want +got):\n%s", diff)
		}
		for k, v := range values {
			if seen[k] == nil {
				seen[k] = map[string]int{}
			}
			seen[k][v]++
		}
		var h head
		if err := json.Unmarshal([]byte(f.raw), &h); err != nil {
			t.Fatal(err)
		}
		if h.ID != f.id || !h.CreatedAt.Equal(f.created) {
			t.Fatalf("the truth says %d %v of %s", f.id, f.created, f.raw)
		}
		types[h.EventTypeID]++
		all.WriteString(f.raw)
	}
	for _, k := range want {
		switch k {
		case "id", "account_id", "event_type_id":
			if diff := cmp.Diff(map[string]int{"json.Number": 5000}, seen[k]); diff != "" {
				t.Errorf("%s: %s", k, diff)
			}
		case "created_at":
		case "event_type_ids", "since", "until":
			if seen[k]["<nil>"] != 5000 {
				t.Errorf("%s is not always null: %v", k, seen[k])
			}
		default:
			if seen[k]["<nil>"] == 0 || len(seen[k]) < 2 {
				t.Errorf("%s is not both null and given: %v", k, seen[k])
			}
		}
	}
	if seen["client_id"]["string"] == 0 || seen["client_id"]["json.Number"] == 0 {
		t.Errorf("client_id is not of both types: %v", seen["client_id"])
	}
	for _, id := range []int{1, 5, 6, 8, 14, 17, 72, 602, 1002, 1400, 1801, 3020} {
		if types[id] == 0 {
			t.Errorf("no event of type %d", id)
		}
	}
	for _, text := range []string{`\n`, `<`, `\u003c`, `&`, `\u0026`, `\/`, "李小龍", `\ud83d\ude80`, "😀", `\"`, `\\`, "\u2028", `\u0000`, `"actor_system":""`} {
		if !strings.Contains(all.String(), text) {
			t.Errorf("no event holds %q", text)
		}
	}
}

func TestEventsAreTheSameEachTime(t *testing.T) {
	config := func(c *simulator.Config, tenant *simulator.Tenant) {
		tenant.Traffic = simulator.Traffic{
			Rate: 20, Ties: 0.3, Late: 0.2, LateBy: simulator.Duration(time.Minute), Jitter: simulator.Duration(time.Second),
			UnknownFields: 0.2, UnknownTypes: 0.2, Nulls: 0.2, Spaced: 0.2, Large: 0.01, LargeBytes: 5000,
		}
	}
	s, k := one(t, config)
	k.advance(time.Minute)
	first := truth(t, s, "acme")
	k.advance(9 * time.Minute)
	later := truth(t, s, "acme")
	if diff := cmp.Diff(first, later[:len(first)], cmp.AllowUnexported(fact{})); diff != "" {
		t.Fatalf("events changed (-before +after):\n%s", diff)
	}
	again, k2 := one(t, config)
	k2.advance(10 * time.Minute)
	if diff := cmp.Diff(later, truth(t, again, "acme"), cmp.AllowUnexported(fact{})); diff != "" {
		t.Fatalf("a second simulator differs (-first +second):\n%s", diff)
	}
	for _, f := range later {
		if !json.Valid([]byte(f.raw)) {
			t.Fatalf("not JSON: %s", f.raw)
		}
	}
}

func TestIDsBeyondFloat(t *testing.T) {
	s := newServer(t, simulator.Default(5))
	facts := truth(t, s, "globex")
	if len(facts) < 1000 || facts[0].id <= 1<<53 {
		t.Errorf("got %d events from id %d, want 1000 beyond 2^53", len(facts), facts[0].id)
	}
	gaps := map[int64]bool{}
	for i := 1; i < len(facts); i++ {
		if facts[i].id <= facts[i-1].id {
			t.Fatalf("id %d follows %d", facts[i].id, facts[i-1].id)
		}
		gaps[facts[i].id-facts[i-1].id] = true
	}
	if len(gaps) < 100 {
		t.Errorf("got only %d different gaps", len(gaps))
	}
}

func TestTenantsOfOneAccountShareNoID(t *testing.T) {
	c := simulator.Default(4)
	for i := range c.Tenants {
		c.Tenants[i].AccountID, c.Tenants[i].FirstID, c.Tenants[i].IDGap = 77, 0, 32
	}
	s := newServer(t, c)
	ids := map[int64]bool{}
	for _, tenant := range s.Tenants() {
		for _, f := range truth(t, s, tenant.Name) {
			if ids[f.id] {
				t.Fatalf("id %d twice", f.id)
			}
			ids[f.id] = true
		}
	}
}
