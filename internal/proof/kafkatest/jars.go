package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// ErrMissingTool says that Java or Maven is not installed.
var ErrMissingTool = errors.New("a real Kafka needs Java 17 or newer and Maven (Debian: apt-get update && apt-get install -y default-jre-headless maven, or make deps)")

const (
	mavenPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
	log4j       = "2.24.3"
)

var versionPattern = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// cacheDir is shared by every test binary of this user.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	dir := filepath.Join(base, "onelogin-kafka")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, nil
}

// lockFile takes an exclusive lock that ends with the returned file, or with the process.
func lockFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening a lock file: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|flags)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}

// Fetch returns the folder that holds the jars of one Kafka version and fetches them with Maven when they are not there yet.
// Any number of processes may call it at once: one of them fetches.
func Fetch(ctx context.Context, version string) (string, error) {
	if !versionPattern.MatchString(version) {
		return "", fmt.Errorf("kafka version %q: want three numbers, as in %s", version, DefaultVersion)
	}
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("java is missing: %w", ErrMissingTool)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafka-"+version)
	complete := filepath.Join(dir, ".complete")
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	lock, err := lockFile(dir+".lock", 0)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "", fmt.Errorf("mvn is missing: %w", ErrMissingTool)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for Kafka's jars: %w", err)
	}
	if err := copyJars(ctx, version, dir); err != nil {
		return "", err
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		return "", fmt.Errorf("marking Kafka's jars as complete: %w", err)
	}
	return dir, nil
}

func copyJars(ctx context.Context, version, dir string) error {
	work, err := os.MkdirTemp("", "onelogin-kafka-pom-")
	if err != nil {
		return fmt.Errorf("making a folder for the pom: %w", err)
	}
	defer os.RemoveAll(work)
	pom := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(pom, []byte(pomOf(version)), 0o600); err != nil {
		return fmt.Errorf("writing the pom: %w", err)
	}
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", pom, mavenPlugin, "-DincludeScope=runtime", "-DoutputDirectory="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fetching Kafka %s with Maven: %w\n%s", version, err, lastLines(out.Bytes(), 20))
	}
	return nil
}

func pomOf(version string) string {
	var b strings.Builder
	b.WriteString(`<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>`)
	for _, d := range [][3]string{
		{"org.apache.kafka", "kafka_2.13", version},
		{"org.apache.kafka", "kafka-tools", version},
		// The slf4j binding is part of Kafka's release only: without it a broker logs nothing.
		{"org.apache.logging.log4j", "log4j-slf4j-impl", log4j},
		{"org.apache.logging.log4j", "log4j-core", log4j},
	} {
		fmt.Fprintf(&b, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", d[0], d[1], d[2])
	}
	b.WriteString(`</dependencies></project>`)
	return b.String()
}

// lastLines is the end of a log, for an error message.
func lastLines(log []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
