package config

import (
	"encoding/pem"
	"strings"
)

// encryptedKey tells whether a file's first private key, in PEM form, is
// encrypted: as PKCS #8, or the older way that OpenSSL calls traditional.
func encryptedKey(content []byte) bool {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return false
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		return block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Headers["Proc-Type"], ",ENCRYPTED")
	}
}
