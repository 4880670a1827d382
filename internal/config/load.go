package config

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is the most bytes of a configuration file or a certificate.
const maxFile = 64 << 20

// Load reads the file at path and what it refers to: connector files, secrets,
// certificates. With an empty path all comes from Variables; beside a file none
// of them counts but what the file names with env:. lookup gives the variables of
// the environment, as os.LookupEnv does.
//
// A connector that is wrong in its own file, its secret or a variable it names
// is in Config.SetAside. The error is of type Problems and says that something
// else is wrong; it has the problems of what would be set aside, too.
func Load(path string, lookup func(name string) (string, bool)) (*Config, error) {
	return Reload(nil, path, lookup)
}

// Reload is Load while last is in use, which may be nil: a connector that is set
// aside now and was in last.Connectors stays among Connectors as it was there,
// and of several with one name the one that was there keeps it.
func Reload(last *Config, path string, lookup func(name string) (string, bool)) (*Config, error) {
	l := newLoader(lookup)
	cfg := l.load(path, last)
	if main := l.docs[0]; len(main.of("")) > 0 {
		return nil, l.problems()
	}
	cfg.Sum = l.checksum()
	return cfg, nil
}

// Checksum is over the content of everything that Load would read: the file,
// the connector files, the secrets and the certificates, symbolic links
// followed; and over the warnings. It changes when, and only when, one of them
// changes, appears or disappears, also while the configuration is not valid. The error says that
// the file at path cannot be read.
func Checksum(path string, lookup func(name string) (string, bool)) ([32]byte, error) {
	if path != "" {
		if _, err := readRegular(path, maxFile); err != nil {
			return [32]byte{}, fmt.Errorf("reading configuration: %w", err)
		}
	}
	l := newLoader(lookup)
	l.load(path, nil)
	return l.checksum(), nil
}

// loader reads one configuration.
type loader struct {
	env  env
	docs []*document
	sum  hash.Hash
	// contents tells the content of each file from another.
	contents map[string]uint64
	// named has the variables that were looked up.
	named map[string]bool
	// warnings are what Config.Warnings will be.
	warnings Problems
	// way is the proxy of all connectors.
	way Proxy
}

// contentSeed makes what tells secrets apart worthless outside this process.
var contentSeed = maphash.MakeSeed()

func newLoader(lookup env) *loader {
	l := &loader{sum: sha256.New(), contents: make(map[string]uint64), named: make(map[string]bool)}
	l.env = func(name string) (string, bool) {
		l.named[name] = true
		return lookup(name)
	}
	return l
}

func (l *loader) document(name, dir string) *document {
	doc := newDocument(name, dir)
	l.docs = append(l.docs, doc)
	return doc
}

func (l *loader) problems() Problems {
	var all Problems
	for _, doc := range l.docs {
		all = append(all, doc.sorted()...)
	}
	return all
}

func (l *loader) checksum() (sum [32]byte) {
	l.sum.Sum(sum[:0])
	return sum
}

// warn adds a warning, unless the message is empty. It is part of the checksum,
// since what is warned of is not always a file that is read.
func (l *loader) warn(file, message string) {
	if message == "" {
		return
	}
	l.warnings = append(l.warnings, Problem{File: file, Message: message})
	l.sum.Write([]byte(file + "\x00" + message + "\x00"))
}

// read reads a file and takes it into the checksum, also when it cannot be
// read: that it is not there is something that can change.
func (l *loader) read(path string, limit int64) ([]byte, error) {
	content, err := readRegular(path, limit)
	size := int64(len(content))
	if err != nil {
		size = -1
	}
	for _, part := range []int64{int64(len(path)), size} {
		l.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(part)))
	}
	l.sum.Write([]byte(path))
	l.sum.Write(content)
	l.contents[path] = maphash.Bytes(contentSeed, content)
	return content, err
}

// reason says why a file cannot be read, and what to do. A path with an @ is not
// shown: it may be a URL with a password.
func reason(path string, err error) string {
	if strings.Contains(path, "@") {
		path = "the file that it names"
	}
	if errors.Is(err, fs.ErrNotExist) {
		return path + " does not exist; create it or correct the path"
	}
	if errors.Is(err, fs.ErrPermission) {
		return path + " may not be read; give this user the right to"
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // without the path, which is there already
	}
	return fmt.Sprintf("%s cannot be read: %v; correct the path or the file", path, err)
}

func (l *loader) load(path string, last *Config) *Config {
	cfg := Default()
	var root place
	if path == "" {
		root = l.fromEnvironment(&cfg)
	} else {
		root = l.fromFile(path, &cfg)
		if root.doc == nil {
			return nil
		}
	}
	l.complete(&cfg, root)
	l.validate(&cfg, root)
	l.way = cfg.Proxy
	var entries []*entry
	for i, c := range cfg.Connectors {
		e := &entry{connector: c, at: root.sub("connectors").item(i)}
		l.connector(&e.connector, e.at)
		entries = append(entries, e)
	}
	if cfg.ConnectorsDir != "" {
		entries = append(entries, l.connectorFiles(cfg.ConnectorsDir, root)...)
	}
	names(entries, last)
	apart(&cfg, entries, last)
	if path != "" {
		l.unused(path)
	}
	if len(cfg.Connectors)+len(cfg.SetAside) == 0 {
		l.warn(root.doc.name, "there is no connector in files, so nothing is polled but what connectors add has made")
	}
	cfg.Warnings = l.warnings
	return &cfg
}

// unused warns of variables that would count if there were no file, and that the
// file does not name.
func (l *loader) unused(file string) {
	var names []string
	for _, v := range Variables() {
		if l.named[v.Name] {
			continue
		}
		if value, _ := l.env(v.Name); value != "" {
			names = append(names, v.Name)
		}
	}
	if len(names) > 0 {
		l.warn(file, "of the environment only what the file names with env: counts, so nothing comes of "+strings.Join(names, ", "))
	}
}

// fromFile reads the file at path. The place has no document if the file could
// not be read or is not a mapping in YAML.
func (l *loader) fromFile(path string, cfg *Config) place {
	doc := l.document(path, filepath.Dir(path))
	content, err := l.read(path, maxFile)
	if err != nil {
		place{doc: doc}.problem("%s", reason("the file", err))
		return place{}
	}
	d := decoder{doc: doc, env: l.env}
	if !d.decode(content, cfg) {
		return place{}
	}
	return place{doc: doc}
}

// complete fills in what depends on something else, and makes paths relative
// to the file's folder.
func (l *loader) complete(cfg *Config, root place) {
	if cfg.Kafka.Embedded != "" && !root.sub("topics.replication_factor").given() {
		cfg.Topics.ReplicationFactor = 1
	}
	if cfg.Instance == "" {
		name, err := os.Hostname()
		if err != nil {
			root.sub("instance").problem("is not given, and the host name is not known: %v; name this instance", err)
		}
		cfg.Instance = name
	}
	paths := []*string{&cfg.Kafka.Embedded, &cfg.ConnectorsDir, &cfg.CAFile}
	if t := cfg.Kafka.TLS; t != nil {
		paths = append(paths, &t.CAFile, &t.CertFile, &t.KeyFile)
	}
	if t := cfg.HTTP.TLS; t != nil {
		paths = append(paths, &t.CertFile, &t.KeyFile)
	}
	for _, p := range paths {
		*p = root.doc.resolve(*p)
	}
}

// connectorFiles reads the connectors of a folder, one per file.
func (l *loader) connectorFiles(folder string, root place) []*entry {
	files, err := os.ReadDir(folder)
	if err != nil {
		root.sub("connectors_dir").problem("%s", reason(folder, err))
		return nil
	}
	var entries []*entry
	for _, file := range files {
		path := filepath.Join(folder, file.Name())
		if skip, why := passedOver(path); skip {
			l.warn(path, why)
			continue
		}
		entries = append(entries, l.connectorFile(path, root.doc.dir))
	}
	return entries
}

func (l *loader) connectorFile(path, dir string) *entry {
	e := &entry{connector: DefaultConnector(), at: place{doc: l.document(path, dir)}}
	e.connector.File, e.connector.Source = path, path
	content, err := l.read(path, maxFile)
	if err != nil {
		e.at.problem("%s", reason("the file", err))
		return e
	}
	d := decoder{doc: e.at.doc, env: l.env}
	if d.decode(content, &e.connector) {
		l.connector(&e.connector, e.at)
	}
	return e
}
