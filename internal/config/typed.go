package config

// Typed validates a connector that was typed in, in no file, and makes its
// addresses normal. The problems name its fields: "domain", "poll.min".
func (c *Connector) Typed() Problems {
	l := newLoader(func(string) (string, bool) { return "", false })
	doc := l.document("", "")
	l.connector(c, place{doc: doc})
	return doc.sorted()
}
