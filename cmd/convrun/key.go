package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/convrun/convrun/sign"
)

// localKeyName is the key pair that a first run makes: local.key, local.pub.
const localKeyName = "local"

// passwordVariables may hold a passphrase, or the name of a file with it.
const (
	passwordVariable     = "COSIGN_PASSWORD" // as cosign reads it
	passwordFileVariable = "CONVRUN_PASSWORD_FILE"
)

// signingKey reads the private key at path, or this user's local key when path
// is empty, which is made when there is none.
func signingKey(path string, quiet bool) (sign.PrivateKey, error) {
	if path == "" {
		local, err := localKey(quiet)
		if err != nil {
			return sign.PrivateKey{}, withHint(fmt.Errorf("find a key to sign with: %w", err), "make one with convrun keygen, and name it with --key")
		}
		path = local
	}
	data, err := readBounded(path, sign.MaxKeySize)
	if err != nil {
		return sign.PrivateKey{}, fmt.Errorf("read key: %w", err)
	}
	key, err := sign.ReadPrivateKey(data, func() ([]byte, error) { return passphrase(path) })
	if err != nil {
		err = fmt.Errorf("read key %s: %w", path, err)
		if errors.Is(err, sign.ErrPassphrase) {
			err = withHint(err, "give the passphrase at the terminal, in $%s, or in a file that $%s names", passwordVariable, passwordFileVariable)
		}
	}
	return key, err
}

// checkKey tells before a conversion of hours what can be told of its key; a
// passphrase is asked for after it.
func checkKey(path string) error {
	if path == "" {
		return nil
	}
	data, err := readBounded(path, sign.MaxKeySize)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if _, err := sign.ReadPrivateKey(data, nil); err != nil && !errors.Is(err, sign.ErrPassphrase) {
		return withHint(fmt.Errorf("read key %s: %w", path, err), "--key takes the private key, such as release.key that convrun keygen made")
	}
	return nil
}

// localKey gives the path of this user's private key, and makes it once.
func localKey(quiet bool) (string, error) {
	dir, err := configDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "keys", localKeyName+".key")
	if _, err := os.Stat(path); err == nil {
		return path, ensurePublic(dir, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	private, public, err := sign.GeneratePlainKey()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := createFile(path, private, 0o600); errors.Is(err, fs.ErrExist) {
		return path, ensurePublic(dir, path) // another run has just made it
	} else if err != nil {
		return "", err
	}
	if err := ensurePublic(dir, path); err != nil {
		return "", err
	}
	if os.Getenv("CI") == "true" {
		warn("the key that was made for this user dies with the CI job, and nobody can verify the log afterwards; give one with --key or in the configuration")
	}
	if quiet {
		return path, nil
	}
	key, err := sign.ReadPublicKey(public)
	if err != nil {
		return "", err
	}
	say(os.Stderr, "", "made a key for this user, %s, fingerprint %s", path, key.Fingerprint())
	hint("to sign with another key, use --key; others verify with %s", localPublicKey(dir))
	return path, nil
}

// ensurePublic writes the public half of the local key where it is missing: a
// crash may have come between the two.
func ensurePublic(dir, private string) error {
	public := localPublicKey(dir)
	if _, err := os.Stat(public); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := readBounded(private, sign.MaxKeySize)
	if err != nil {
		return err
	}
	key, err := sign.ReadPrivateKey(data, nil)
	if err != nil {
		return fmt.Errorf("read key %s: %w", private, err)
	}
	return writeFile(public, key.Public().PEM(), 0o644)
}

func localPublicKey(dir string) string { return filepath.Join(dir, "keys", localKeyName+".pub") }

// trustedKey reads the public key to verify with: path, else this user's local
// key. It never makes one: without any, there is nothing to trust.
func trustedKey(path string) (sign.PublicKey, error) {
	if path == "" {
		dir, err := configDir()
		if err != nil {
			return sign.PublicKey{}, noTrust(err)
		}
		path = localPublicKey(dir)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return sign.PublicKey{}, noTrust(fmt.Errorf("this user has no key of their own (%s)", path))
		}
	}
	data, err := readBounded(path, sign.MaxKeySize)
	if err != nil {
		return sign.PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	key, err := sign.ReadPublicKey(data)
	if err != nil {
		return sign.PublicKey{}, fmt.Errorf("read public key %s: %w", path, err)
	}
	return key, nil
}

func noTrust(reason error) error {
	return withHint(fmt.Errorf("%w: %w", sign.ErrNoTrust, reason), "say whose signature you trust: --key signer.pub")
}

// passphrase asks for the passphrase of the key at path: the environment, a
// file, the terminal.
func passphrase(path string) ([]byte, error) {
	if text, set := os.LookupEnv(passwordVariable); set {
		return []byte(text), nil
	}
	if file := os.Getenv(passwordFileVariable); file != "" {
		text, err := readBounded(file, 4096)
		if err != nil {
			return nil, fmt.Errorf("read $%s: %w", passwordFileVariable, err)
		}
		return bytes.TrimRight(text, "\r\n"), nil
	}
	return askTerminal("passphrase for " + path + ": ")
}

// askTerminal asks on the terminal itself: standard input may be a pipe.
func askTerminal(prompt string) ([]byte, error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("there is no terminal to ask at")
	}
	defer terminal.Close()
	fmt.Fprint(terminal, prompt)
	defer fmt.Fprintln(terminal)
	return term.ReadPassword(int(terminal.Fd()))
}

// redactionKeyBytes is the length of the key for marks of redacted values.
const redactionKeyBytes = 32

// redactionKey is the user's own key for marks of redacted values, made once;
// nil, with which marks cannot be compared, where none can be kept.
func redactionKey() []byte {
	dir, err := configDir()
	if err != nil {
		return nil
	}
	path := filepath.Join(dir, "redaction.key")
	key, err := readBounded(path, redactionKeyBytes)
	if err == nil && len(key) == redactionKeyBytes {
		return key
	}
	key = make([]byte, redactionKeyBytes)
	if _, err := rand.Read(key); err != nil || os.MkdirAll(dir, 0o700) != nil || writeFile(path, key, 0o600) != nil {
		return nil
	}
	return key
}
