package simulator

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

// IDForm is a form of id.
type IDForm string

// The forms of id. The first is OneLogin's.
const (
	IDNumber IDForm = ""      // 45192198208
	IDText   IDForm = "text"  // "45192198208"
	IDFloat  IDForm = "float" // 45192198208.0, which is no integer
)

var idForms = []IDForm{IDNumber, IDText, IDFloat}

// TimeForm is a form of created_at.
type TimeForm string

// The forms of created_at. The first is OneLogin's; the last two say nothing of
// UTC, and what they mean is in doubt.
const (
	TimeMillis  TimeForm = ""        // 2024-02-27T23:48:09.212Z
	TimeSeconds TimeForm = "seconds" // 2024-02-27T23:48:09Z
	TimeWebhook TimeForm = "webhook" // 2024-02-27 23:48:09 UTC
	TimeOffset  TimeForm = "offset"  // 2024-02-28T01:48:09.212+02:00
	TimeBasic   TimeForm = "basic"   // 2024-02-27T23:48:09.212+0000
	TimeSpace   TimeForm = "space"   // 2024-02-27 23:48:09.212z
	TimeLocal   TimeForm = "local"   // 2024-02-27T23:48:09.212
	TimeEpoch   TimeForm = "epoch"   // 1709077689212
)

var timeForms = []TimeForm{TimeMillis, TimeSeconds, TimeWebhook, TimeOffset, TimeBasic, TimeSpace, TimeLocal, TimeEpoch}

// whole tells whether f has no part of a second.
func (f TimeForm) whole() bool { return f == TimeSeconds || f == TimeWebhook }

// BrokenForm is a way of not being JSON.
type BrokenForm string

// The ways of not being JSON. Of the first three it can be told where the event
// ends.
const (
	BrokenAny     BrokenForm = ""        // BrokenControl or BrokenNaN
	BrokenControl BrokenForm = "control" // a line break in a text
	BrokenNaN     BrokenForm = "nan"     // NaN for a number
	BrokenQuote   BrokenForm = "quote"   // a text with quotes that are not escaped
)

var brokenForms = []BrokenForm{BrokenAny, BrokenControl, BrokenNaN, BrokenQuote}

// appendBroken appends a member that is not JSON.
func appendBroken(b []byte, f BrokenForm, h uint64) []byte {
	if f == BrokenAny {
		f = []BrokenForm{BrokenControl, BrokenNaN}[h%2]
	}
	switch f {
	case BrokenControl:
		return append(b, ",\"zz_broken\":\"two\nlines\""...)
	case BrokenNaN:
		return append(b, `,"zz_broken":NaN`...)
	default:
		return append(b, `,"zz_broken":"so "to speak", or so"`...)
	}
}

func appendID(b []byte, f IDForm, id int64) []byte {
	switch f {
	case IDText:
		return append(strconv.AppendInt(append(b, '"'), id, 10), '"')
	case IDFloat:
		return append(strconv.AppendInt(b, id, 10), ".0"...)
	default:
		return strconv.AppendInt(b, id, 10)
	}
}

func appendCreated(b []byte, f TimeForm, ns int64) []byte {
	t := time.Unix(0, ns).UTC()
	layout := ""
	switch f {
	case TimeMillis:
		return appendTime(b, ns)
	case TimeEpoch:
		return strconv.AppendInt(b, t.UnixMilli(), 10)
	case TimeSeconds:
		layout = "2006-01-02T15:04:05Z"
	case TimeWebhook:
		layout = "2006-01-02 15:04:05 UTC"
	case TimeOffset:
		t, layout = t.In(time.FixedZone("", 2*60*60)), "2006-01-02T15:04:05.000-07:00"
	case TimeBasic:
		layout = "2006-01-02T15:04:05.000-0700"
	case TimeSpace:
		layout = "2006-01-02 15:04:05.000z"
	case TimeLocal:
		layout = "2006-01-02T15:04:05.000"
	}
	return append(t.AppendFormat(append(b, '"'), layout), '"')
}

// rules are how a tenant's answers are made. They may change while the simulator
// runs.
type rules struct {
	page  Page
	since Since
	until Until
}

func (t *Tenant) rules() rules { return rules{t.Page, t.Since, t.Until} }

func (r rules) validate() error {
	p := &r.page
	switch {
	case p.Max < 1 || p.Default < 1:
		return errors.New("page sizes must be at least 1")
	case p.FailAbove < 0:
		return errors.New("fail_above is negative")
	case !slices.Contains([]Order{OrderSort, OrderDescending, OrderBack, OrderShuffled}, p.Order):
		return errors.New("order is no known one")
	case !slices.Contains([]EmptyForm{EmptyList, EmptyNull, EmptyNoContent, EmptyNoPagination}, p.Empty):
		return errors.New("empty is no known form")
	case !slices.Contains([]FailForm{"", Fail504, Fail500, FailTimeout, FailTooLarge}, p.FailWith):
		return errors.New("fail_with is no known form")
	}
	return nil
}
