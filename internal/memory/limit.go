package memory

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Without a limit a process is reckoned at this size, and so much more for each
// connector.
const (
	defaultSize  = 512 << 20
	perConnector = 100 << 10
)

// least is the smallest size that the service works with.
const least = 64 << 20

// mostPages is as much as is of use: more pages in hand make nothing quicker.
const mostPages = 256 << 20

// Plan is how a process uses its memory.
type Plan struct {
	size  int64
	bound bool // by the configuration, or a container
}

// NewPlan plans for the size that is configured, or where that is 0 for the limit
// of the process's container, or for none. root is the root of the file system.
func NewPlan(configured int64, root fs.FS) Plan {
	if configured > 0 {
		return Plan{max(configured, least), true}
	}
	if limit, ok := containerLimit(root); ok {
		return Plan{max(limit, least), true}
	}
	return Plan{defaultSize, false}
}

// Pages is how many bytes pages may take. A page is held as it came, as records
// before compression, and compressed; and garbage is collected when there is
// some. The zero Plan has as much as one without a limit.
func (p Plan) Pages() int64 {
	if p.size == 0 {
		p.size = defaultSize
	}
	return min(p.size/5, mostPages)
}

// GoLimit is what Go's runtime is told (GOMEMLIMIT) with so many connectors: nine
// tenths, since it does not count all. Where there is no limit it grows with the
// connectors, so that the collector does not work for room that nobody needs.
func (p Plan) GoLimit(connectors int) int64 {
	size := p.size
	if !p.bound {
		size += int64(connectors) * perConnector
	}
	return size - size/10
}

// containerLimit is the memory limit of the control group that the process is
// in, of either version, or of one above it.
func containerLimit(root fs.FS) (int64, bool) {
	limit, found := int64(math.MaxInt64), false
	for _, file := range limitFiles(root) {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < unlimited {
			limit, found = min(limit, n), true
		}
	}
	return limit, found
}

// unlimited is where version 1 begins to mean no limit.
const unlimited = 1 << 60

func limitFiles(root fs.FS) []string {
	var files []string
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // hierarchy:controllers:path
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var base, name string
		switch {
		case parts[0] == "0" && parts[1] == "":
			base, name = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// In a container's name space the path is often that of the host.
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			files = append(files, strings.TrimPrefix(path.Join(base, dir, name), "/"))
			if dir == "/" {
				break
			}
		}
	}
	return files
}
