package schemas_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"onelogin-kafka/schemas"
)

const ownerJSON = `{"version":1,"group":"onelogin-kafka","partitions":32,"since":"2026-11-22T07:05:11Z"}`

func TestOwner(t *testing.T) {
	t.Parallel()
	want := schemas.Owner{Version: 1, Group: "onelogin-kafka", Partitions: 32, Since: at("2026-11-22T07:05:11Z")}
	if diff := cmp.Diff(ownerJSON, string(want.Marshal())); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	validate(t, "owner", want.Marshal())
	got, err := schemas.ParseOwner([]byte(ownerJSON))
	if err != nil || !cmp.Equal(want, got) {
		t.Errorf("read: got %+v, %v, want %+v", got, err, want)
	}
	if schemas.ValidConnector(schemas.OwnerKey) {
		t.Error("a connector can have the owner's key as its name")
	}
	if k, err := schemas.ParseOffsetsKey([]byte(schemas.OwnerKey)); err != nil || k.Kind != schemas.OffsetsOwner || k.Connector != schemas.OwnerKey {
		t.Errorf("the owner's key reads as %+v, %v", k, err)
	}
	for field, value := range map[string]any{"group": nil, "partitions": nil, "since": nil} {
		if _, err := schemas.ParseOwner(mutate(t, ownerJSON, field, value)); err == nil {
			t.Errorf("no error without %s", field)
		}
	}
	for field, value := range map[string]any{"group": "", "partitions": 0} {
		if _, err := schemas.ParseOwner(mutate(t, ownerJSON, field, value)); err == nil {
			t.Errorf("no error for %s = %v", field, value)
		}
	}
	if _, err := schemas.ParseOwner(mutate(t, ownerJSON, "version", 2)); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("a later version: got %v, want ErrVersion", err)
	}
}

func FuzzOwner(f *testing.F) {
	f.Add([]byte(ownerJSON))
	f.Add([]byte(`{"version":1,"group":"g","partitions":1,"since":"9999-12-31T23:59:59-01:00"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		o, err := schemas.ParseOwner(value)
		if err != nil {
			return
		}
		again, err := schemas.ParseOwner(o.Marshal())
		if err != nil || !o.Since.Equal(again.Since) || o.Since.Location() != time.UTC {
			t.Fatalf("what was read as %+v is read again as %+v, %v", o, again, err)
		}
	})
}
