package memory

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// DefaultSize is what a process without a limit of its own takes for its size.
const DefaultSize = 512 << 20

// least is the smallest size that the service works with.
const least = 64 << 20

// Size returns the bytes that a process should stay within: those configured,
// or where that is 0 the limit of its container, or 512 MiB. root is the root of
// the file system.
func Size(configured int64, root fs.FS) int64 {
	if configured > 0 {
		return max(configured, least)
	}
	if limit, ok := containerLimit(root); ok {
		return max(limit, least)
	}
	return DefaultSize
}

// GoLimit is what Go's runtime is told of a size (GOMEMLIMIT): the rest is for
// what it does not count.
func GoLimit(size int64) int64 { return size - size/10 }

// ForPages is the part of a size that pages may take. A page is held as it came,
// as records before compression, and compressed; and garbage is collected when
// there is some.
func ForPages(size int64) int64 { return size / 5 }

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
