// Package audit judges what a service has written to its Kafka topics. It is
// independent: it imports nothing of what it judges, reads the formats of the
// contract with its own parsers, and decides transactions by their markers.
//
// Rules, each a prefix of the names in a Report:
//
//	A0  the history itself is whole: offsets of a partition ascend, it starts at 0
//	A1  every event of the truth is there exactly once and unaltered, and nothing else
//	A2  a position never goes back, unless an operator has moved it, who says so in a header
//	A3  after each commit the position covers exactly the records before it
//	A4  key, partition, timestamp and headers of an event follow from its value
//	A5  minute records are well-formed, in their minute, and leave with the window;
//	    all partitions name one owner and as many partitions as there are
//	A6  what complete_through promises is in the topic when it promises it
//	A7  a record is visible if, and only if, its transaction was committed
//	A8  no secret is in any key, value or header
//	A9  latency, when following: from visible at the source to readable (not a rule, only measured)
//
// # The exact rule behind A3
//
// The records of one transaction on one partition are those of one producer id
// up to its marker; their producer epoch, not the marker's, identifies them
// (protocol v2 raises the epoch before it writes the marker). Take one
// connector, its committed transactions on the offsets partition in log order
// (O1, O2, ...), and per events partition the committed transactions that hold
// events of it (E1, E2, ...). Then for each Oj
//
//	Oj.events - Oj-1.events = number of event records in the E that Oj takes,
//
// where Oj takes at most the next E of each events partition, each with Oj's
// producer id and epoch. With the key strategy "tenant" there is one events
// partition and so one candidate: the match is exact. Under protocol v2 id and
// epoch name one transaction alone. Under v1, where an epoch has many, and with
// events spread over partitions, the candidates that Oj's minute records name
// are taken first. No E may be left without an O. Two connectors whose
// events share a transaction must find their positions in one transaction too.
//
// After Oj, for each minute that Oj or its E touched: if the minute is not
// wholly before window_start, its latest record lists exactly the ids published
// so far of events created in it; else it has no record. No event is published
// that was created before the window_start of Oj-1, unless its id is above the
// last_id of Oj-1, or it is marked late and Oj says with it how far a job is: that is
// a repair, and no minute lists it.
//
// Not decidable from a log alone, and not claimed: under protocol v1, for a
// lone connector, events committed in one transaction and their position in the
// next transaction of the same epoch look like one transaction.
//
// Where the offsets partition has been compacted, positions in between are
// gone: there the sum up to each position that is left is checked (one events
// partition) or the sum at the end (several), and the minute records at the
// end.
package audit
