package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/sign"
)

func newKeygenCommand() *cobra.Command {
	var prefix string
	command := &cobra.Command{
		Use: "keygen", Short: "make a key pair to sign logs with", Args: cobra.NoArgs,
		Long: `keygen makes an ECDSA P-256 key pair: PREFIX.key, private, and PREFIX.pub, to be
given to whoever verifies. cosign can use both.

The private key is encrypted with a passphrase, asked for at the terminal or
taken from $COSIGN_PASSWORD or from a file that $CONVRUN_PASSWORD_FILE names.
An empty passphrase leaves it protected by its file mode alone.` + exitHelp("0", "2", "4"),
		Example: "  convrun keygen -o release",
		RunE:    func(c *cobra.Command, _ []string) error { return runKeygen(c, prefix) },
	}
	command.Flags().StringVarP(&prefix, "output", "o", "convrun", "`PREFIX` of the two files")
	return command
}

func runKeygen(c *cobra.Command, prefix string) error {
	privatePath, publicPath := prefix+".key", prefix+".pub"
	for _, path := range []string{privatePath, publicPath} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return withHint(fmt.Errorf("%s exists already, and keys are never overwritten", path), "choose another name with --output")
		}
	}
	secret, err := newPassphrase(privatePath)
	if err != nil {
		return err
	}
	private, public, err := sign.GenerateKey(secret)
	if err != nil {
		return err
	}
	if err := createFile(privatePath, private, 0o600); err != nil {
		return err
	}
	if err := createFile(publicPath, public, 0o644); err != nil {
		os.Remove(privatePath)
		return err
	}
	key, err := sign.ReadPublicKey(public)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n%s\nfingerprint %s\n", privatePath, publicPath, key.Fingerprint())
	return err
}

// newPassphrase asks twice at a terminal; elsewhere it asks once.
func newPassphrase(path string) ([]byte, error) {
	if _, set := os.LookupEnv(passwordVariable); set || os.Getenv(passwordFileVariable) != "" {
		return passphrase(path)
	}
	first, err := askTerminal("new passphrase for " + path + " (empty for none): ")
	if err != nil {
		return nil, withHint(fmt.Errorf("ask for a passphrase: %w", err), "set $%s, empty for none", passwordVariable)
	}
	second, err := askTerminal("again: ")
	if err != nil {
		return nil, fmt.Errorf("ask for a passphrase: %w", err)
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passphrases differ")
	}
	return first, nil
}
