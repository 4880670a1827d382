package service

import "onelogin-kafka/source/onelogin"

// Some files are kept for Kafka (a connection for each shard and broker at worst),
// the console and what is read from disk: without them an instance that polls
// everything could write nothing, and tell nobody.
const (
	filesReserved = 1024
	// mostReserved is the part of the files that the reserve takes at most.
	mostReserved = 2
)

// forOneLogin returns how many connections to OneLogin may be open at once, 0
// where there is no need of a bound, and warns where fewer are kept than would be with
// more files.
func (s *Service) forOneLogin(connectors int) int {
	limit := int(min(s.opts.Files, 1<<30))
	if limit == 0 {
		return 0
	}
	left := limit - min(filesReserved, limit/mostReserved)
	if kept := (onelogin.Limits{Connections: left}).Kept(); kept < min(connectors, mostKept) {
		s.opts.Log.Warn().Int("limit", limit).Int("connections_to_onelogin", kept).Int("connectors", connectors).
			Msg("the limit of open files (ulimit -n, LimitNOFILE) is low: those connectors for which it leaves none begin a connection for each poll")
	}
	return left
}
