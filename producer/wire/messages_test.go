package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/segmentio/kafka-go/protocol"

	"onelogin-kafka/internal/proof/kafkatest"
)

// message is one of our own messages with what Kafka's definitions say of it.
type message struct {
	name     string // of the definitions, without Request and Response
	versions []int16
	// request is one of ours and the values it stands for.
	request func(version int16) (Request, object)
	// empty is a request that takes an answer.
	empty func(version int16) Request
	// adjust makes generated values an answer to the request; nil = as they are.
	adjust func(object)
	// want is what reading an answer with these values must leave.
	want func(version int16, answer object) Request
}

func i16(o object, name string) int16 { v, _ := o[name].(int64); return int16(v) }
func i32(o object, name string) int32 { v, _ := o[name].(int64); return int32(v) }
func i64(o object, name string) int64 { v, _ := o[name].(int64); return v }

func str(o object, name string) string { s, _ := o[name].(string); return s }

func elements(o object, name string) []object {
	all, _ := o[name].([]any)
	var objects []object
	for _, e := range all {
		objects = append(objects, e.(object))
	}
	return objects
}

var long = strings.Repeat("longer than a varint's first byte ", 10)

var messages = []message{
	{
		name: "ApiVersions", versions: []int16{3},
		request: func(int16) (Request, object) {
			return &APIVersions{}, object{"ClientSoftwareName": clientSoftware, "ClientSoftwareVersion": "1"}
		},
		empty:  func(int16) Request { return &APIVersions{} },
		adjust: func(o object) { o["ErrorCode"] = int64(0) }, // with an error the rest is not read
		want: func(_ int16, o object) Request {
			m := &APIVersions{Ranges: map[protocol.ApiKey][2]int16{}, Features: map[string]int16{}}
			for _, k := range elements(o, "ApiKeys") {
				m.Ranges[protocol.ApiKey(i16(k, "ApiKey"))] = [2]int16{i16(k, "MinVersion"), i16(k, "MaxVersion")}
			}
			for _, f := range elements(o, "FinalizedFeatures") {
				m.Features[str(f, "Name")] = i16(f, "MaxVersionLevel")
			}
			return m
		},
	},
	{
		name: "Produce", versions: []int16{8, 9, 10, 11, 12},
		request: func(v int16) (Request, object) {
			return &Produce{TransactionalID: "group-17", TimeoutMS: 1234, MaxVersion: v, Topics: []ProduceTopic{
					{Name: "events", Partitions: []ProducePartition{{Index: 3, Records: []byte(long)}, {Index: 11, Records: []byte{1, 2}}}},
					{Name: "offsets", Partitions: []ProducePartition{{Index: 17, Records: []byte{0xff}}}},
				}}, object{"TransactionalId": "group-17", "Acks": int64(-1), "TimeoutMs": int64(1234), "TopicData": []any{
					object{"Name": "events", "PartitionData": []any{object{"Index": int64(3), "Records": []byte(long)}, object{"Index": int64(11), "Records": []byte{1, 2}}}},
					object{"Name": "offsets", "PartitionData": []any{object{"Index": int64(17), "Records": []byte{0xff}}}},
				}}
		},
		empty: func(v int16) Request { return &Produce{MaxVersion: v} },
		want: func(v int16, o object) Request {
			m := &Produce{MaxVersion: v}
			for _, t := range elements(o, "Responses") {
				for _, p := range elements(t, "PartitionResponses") {
					m.Results = append(m.Results, ProduceResult{str(t, "Name"), i32(p, "Index"), i16(p, "ErrorCode"), i64(p, "BaseOffset"), i64(p, "LogAppendTimeMs")})
				}
			}
			return m
		},
	},
	{
		name: "EndTxn", versions: []int16{3, 5},
		request: func(v int16) (Request, object) {
			return &EndTxn{TransactionalID: long, ProducerID: 1 << 40, ProducerEpoch: 32766, Commit: v == 5, Version: v},
				object{"TransactionalId": long, "ProducerId": int64(1 << 40), "ProducerEpoch": int64(32766), "Committed": v == 5}
		},
		empty: func(v int16) Request { return &EndTxn{Version: v} },
		want: func(v int16, o object) Request {
			m := &EndTxn{Version: v, ErrorCode: i16(o, "ErrorCode"), NextID: -1, NextEpoch: -1}
			if v >= 5 {
				m.NextID, m.NextEpoch = i64(o, "ProducerId"), i16(o, "ProducerEpoch")
			}
			return m
		},
	},
	{
		name: "DescribeTransactions", versions: []int16{0},
		request: func(int16) (Request, object) {
			return &DescribeTransactions{TransactionalID: long}, object{"TransactionalIds": []any{long}}
		},
		empty: func(int16) Request { return &DescribeTransactions{TransactionalID: long} },
		adjust: func(o object) {
			ours := object{"TransactionalId": long, "TransactionState": "CompleteCommit", "ErrorCode": int64(14), "ProducerId": int64(1 << 40), "ProducerEpoch": int64(7), "Topics": []any{
				object{"Topic": long, "Partitions": []any{int64(1), int64(2)}},
			}}
			all, _ := o["TransactionStates"].([]any)
			o["TransactionStates"] = append(all, ours)
		},
		want: func(int16, object) Request {
			return &DescribeTransactions{TransactionalID: long, ErrorCode: 14, State: "CompleteCommit", ProducerID: 1 << 40, ProducerEpoch: 7}
		},
	},
	{
		name: "Fetch", versions: []int16{11},
		request: func(int16) (Request, object) {
			return &Fetch{Topic: "offsets", Partition: 17, LeaderEpoch: 5, Offset: 1 << 40, MaxWaitMS: 250, MinBytes: 1, MaxBytes: 1 << 20, ReadCommitted: true},
				object{"ReplicaId": int64(-1), "MaxWaitMs": int64(250), "MinBytes": int64(1), "MaxBytes": int64(math.MaxInt32), "IsolationLevel": int64(1), "SessionEpoch": int64(-1),
					"Topics": []any{object{"Topic": "offsets", "Partitions": []any{object{
						"Partition": int64(17), "CurrentLeaderEpoch": int64(5), "FetchOffset": int64(1 << 40), "PartitionMaxBytes": int64(1 << 20),
					}}}}}
		},
		empty: func(int16) Request { return &Fetch{Topic: "offsets", Partition: 17} },
		adjust: func(o object) {
			p := object{"PartitionIndex": int64(17), "HighWatermark": int64(99), "AbortedTransactions": nil, "Records": nil}
			for _, topic := range elements(o, "Responses") {
				for _, some := range elements(topic, "Partitions") {
					p = some
					p["PartitionIndex"] = int64(17)
				}
			}
			o["Responses"] = []any{object{"Topic": "offsets", "Partitions": []any{p}}}
		},
		want: func(_ int16, o object) Request {
			p := elements(elements(o, "Responses")[0], "Partitions")[0]
			m := &Fetch{Topic: "offsets", Partition: 17, ErrorCode: i16(p, "ErrorCode"), HighWatermark: i64(p, "HighWatermark")}
			m.LastStableOffset, m.LogStartOffset = -1, -1
			if _, ok := p["LastStableOffset"]; ok {
				m.LastStableOffset, m.LogStartOffset = i64(p, "LastStableOffset"), i64(p, "LogStartOffset")
			}
			for _, a := range elements(p, "AbortedTransactions") {
				m.Aborted = append(m.Aborted, AbortedTxn{i64(a, "ProducerId"), i64(a, "FirstOffset")})
			}
			m.Records, _ = p["Records"].([]byte)
			if code := i16(o, "ErrorCode"); code != 0 {
				m.ErrorCode = code
			}
			return m
		},
	},
	{
		name: "Heartbeat", versions: []int16{3},
		request: func(int16) (Request, object) {
			return &Heartbeat{GroupID: "group", MemberID: "m-1", InstanceID: "host", Generation: 7},
				object{"GroupId": "group", "GenerationId": int64(7), "MemberId": "m-1", "GroupInstanceId": "host"}
		},
		empty: func(int16) Request { return &Heartbeat{} },
		want:  func(_ int16, o object) Request { return &Heartbeat{ErrorCode: i16(o, "ErrorCode")} },
	},
	{
		name: "LeaveGroup", versions: []int16{3},
		request: func(int16) (Request, object) {
			return &LeaveGroup{GroupID: "group", MemberID: "m-1"},
				object{"GroupId": "group", "Members": []any{object{"MemberId": "m-1", "GroupInstanceId": nil}}}
		},
		empty: func(int16) Request { return &LeaveGroup{} },
		want: func(_ int16, o object) Request {
			m := &LeaveGroup{ErrorCode: i16(o, "ErrorCode")}
			for _, member := range elements(o, "Members") {
				if m.ErrorCode == 0 {
					m.ErrorCode = i16(member, "ErrorCode")
				}
			}
			return m
		},
	},
}

// ask lets a connection send m to a broker that takes it as a whole frame and
// answers with another.
func ask(t *testing.T, m Request, answer []byte) (frame []byte, err error) {
	t.Helper()
	client, broker := net.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		defer broker.Close()
		var err error
		if frame, err = readFrame(broker); err == nil {
			_, err = broker.Write(binary.BigEndian.AppendUint32(nil, uint32(len(answer))))
		}
		if err == nil {
			_, err = broker.Write(answer)
		}
		done <- err
	}()
	cn := newConn(client, client, "host-1")
	go cn.read()
	err = cn.do(t.Context(), m)
	cn.end()
	<-cn.ended
	if brokerErr := <-done; err == nil {
		err = brokerErr
	}
	return frame, err
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func TestMessagesFollowKafkasDefinitions(t *testing.T) {
	for _, release := range []string{kafkatest.DefaultVersion, kafkatest.Version3} {
		defs := definitions(t, release)
		for i := range messages {
			for _, v := range messages[i].versions {
				m := &messages[i]
				if !within(defs[m.name+"Request"].ValidVersions, v) {
					continue // the newest are negotiated with newer brokers only
				}
				t.Run(fmt.Sprintf("%s/%s/%d", release, m.name, v), func(t *testing.T) { follows(t, defs, m, v) })
			}
		}
		for i := range messages {
			if !within(defs[messages[i].name+"Request"].ValidVersions, messages[i].versions[0]) {
				t.Errorf("Kafka %s has no %s version %d", release, messages[i].name, messages[i].versions[0])
			}
		}
	}
}

func follows(t *testing.T, defs map[string]*definition, m *message, v int16) {
	request, response := defs[m.name+"Request"], defs[m.name+"Response"]
	ours, values := m.request(v)
	if got, want := int16(ours.key()), request.APIKey; got != want {
		t.Fatalf("API key: got %d, want %d", got, want)
	}
	flexible := within(request.FlexibleVersions, v)
	requestHeader, responseHeader := int16(1), int16(0)
	if flexible {
		requestHeader, responseHeader = 2, 1
	}
	if m.name == "ApiVersions" {
		responseHeader = 0
	}
	header := defs["RequestHeader"].write(requestHeader, object{
		"RequestApiKey": int64(request.APIKey), "RequestApiVersion": int64(v), "CorrelationId": int64(1), "ClientId": "host-1",
	})
	want := append(header, request.write(v, values)...)
	rng := rand.New(rand.NewPCG(uint64(request.APIKey), uint64(v)))
	for range 100 {
		answer := response.any(rng, v)
		if m.adjust != nil {
			m.adjust(answer)
		}
		frame := append(defs["ResponseHeader"].write(responseHeader, object{"CorrelationId": int64(1)}), response.write(v, answer)...)
		got, err := ask(t, ours, frame)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("request differs (-want +got):\n%s", cmp.Diff(want, got))
		}
		read := m.empty(v)
		if _, err := ask(t, read, frame); err != nil {
			t.Fatalf("reading %v: %v", answer, err)
		}
		if diff := cmp.Diff(m.want(v, answer), read, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("answer %v (-want +got):\n%s", answer, diff)
		}
		ours, _ = m.request(v)
	}
}

func TestNullTransactionalID(t *testing.T) {
	defs := definitions(t, kafkatest.DefaultVersion)
	for _, v := range []int16{8, 12} {
		p := &Produce{}
		e := &encoder{flexible: p.flexible(v)}
		p.encode(e, v)
		want := defs["ProduceRequest"].write(v, object{"TransactionalId": nil, "Acks": int64(-1)})
		if !bytes.Equal(e.buf, want) {
			t.Errorf("version %d: got %x, want %x", v, e.buf, want)
		}
	}
}

func TestOldBrokersVersionErrorIsRead(t *testing.T) {
	defs := definitions(t, kafkatest.DefaultVersion)
	body := defs["ApiVersionsResponse"].write(0, object{"ErrorCode": int64(35), "ApiKeys": []any{object{"ApiKey": int64(18), "MaxVersion": int64(2)}}})
	m := &APIVersions{}
	if _, err := ask(t, m, append([]byte{0, 0, 0, 1}, body...)); err != nil {
		t.Fatal(err)
	}
	if m.ErrorCode != 35 {
		t.Errorf("error code: got %d, want 35", m.ErrorCode)
	}
}

func TestFetchRefusesAnAnswerToAnotherQuestion(t *testing.T) {
	defs := definitions(t, kafkatest.DefaultVersion)
	part := func(index int64) object { return object{"PartitionIndex": index} }
	for name, responses := range map[string][]any{
		"nothing":           {},
		"another partition": {object{"Topic": "offsets", "Partitions": []any{part(16)}}},
		"another topic":     {object{"Topic": "events", "Partitions": []any{part(17)}}},
		"twice":             {object{"Topic": "offsets", "Partitions": []any{part(17), part(17)}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &decoder{buf: defs["FetchResponse"].write(11, object{"Responses": responses})}
			m := &Fetch{Topic: "offsets", Partition: 17}
			if m.decode(d, 11); d.err == nil {
				t.Error("got no error")
			}
		})
	}
}

// FuzzDecode reads arbitrary bytes as every answer we know: no panic, and what
// is allocated stays within a small multiple of what was sent.
func FuzzDecode(f *testing.F) {
	defs := definitions(f, kafkatest.DefaultVersion)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range messages {
		for j, v := range messages[i].versions {
			answer := defs[messages[i].name+"Response"].any(rng, v)
			if messages[i].adjust != nil {
				messages[i].adjust(answer)
			}
			f.Add(uint8(i), uint8(j), defs[messages[i].name+"Response"].write(v, answer))
		}
	}
	// One topic with as many partitions as there are bytes left.
	f.Add(uint8(1), uint8(0), append([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0}, make([]byte, 1<<12)...))
	f.Fuzz(func(t *testing.T, which, version uint8, data []byte) {
		m := &messages[int(which)%len(messages)]
		v := m.versions[int(version)%len(m.versions)]
		read := m.empty(v)
		d := &decoder{buf: bytes.Clone(data), flexible: read.flexible(v)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		read.decode(d, v)
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(32*len(data)+64<<10); got > most {
			t.Errorf("%s version %d: %d bytes allocated for an answer of %d", m.name, v, got, len(data))
		}
	})
}
