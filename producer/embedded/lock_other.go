//go:build !unix

package embedded

import "os"

// lockDir cannot keep a second process away here.
func lockDir(path string) (*os.File, error) { return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) }
