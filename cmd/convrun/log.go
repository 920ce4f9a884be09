package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
	"github.com/convrun/convrun/sign"
)

// trustOptions say whose logs are believed.
type trustOptions struct {
	key        string
	unverified bool
}

func (t *trustOptions) addKey(command *cobra.Command) {
	command.Flags().StringVar(&t.key, "key", "", "public key `FILE` of the signer (default: this user's local key)")
}

func (t *trustOptions) addUnverified(command *cobra.Command) {
	command.Flags().BoolVar(&t.unverified, "unverified", false, "read the log without verifying its signature; nothing in it can be relied on")
}

// openedLog is a log that was read; verified is nil when nobody asked.
type openedLog struct {
	path      string
	digest    digest.Digest
	payload   []byte
	statement *provenance.Statement
	verified  *sign.Verified
}

// openLog reads the log at path and verifies its signature.
func openLog(path string, trust trustOptions) (*openedLog, error) {
	data, err := readRegular(path, sign.MaxBundleSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noLog(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s: expected a conversion log, found an empty file", path)
	}
	log := &openedLog{path: path, digest: digest.FromBytes(data)}
	isDraft := strings.HasSuffix(path, draftSuffix)
	switch {
	case isDraft && !trust.unverified:
		return nil, usage(withHint(fmt.Errorf("%s is a draft that nobody has signed", path), "look at it with --unverified, or sign it: convrun sign %s", path))
	case isDraft:
		log.payload = data
	case trust.unverified:
		if log.payload, err = sign.UnverifiedPayload(data); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	default:
		key, err := trustedKey(trust.key)
		if err != nil {
			return nil, err
		}
		verified, err := sign.Verify(data, sign.Trust{Key: key})
		if err != nil {
			return nil, advise(fmt.Errorf("%s: %w", path, err))
		}
		log.verified, log.payload = &verified, verified.Payload()
	}
	if log.statement, err = provenance.Parse(log.payload); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return log, nil
}

// advise adds what to do when a log is not what its signer signed.
func advise(err error) error {
	switch dir, dirErr := stateDir(); {
	case errors.Is(err, sign.ErrMalformed) && dirErr == nil:
		return withHint(err, "this is no whole log; take another copy of it (those of this user's own runs are in %s)", filepath.Join(dir, "logs"))
	case errors.Is(err, sign.ErrRefused):
		return withHint(err, "if somebody else signed it whom you trust: --key signer.pub; else do not rely on it")
	}
	return err
}

func noLog(path string) error {
	draft := strings.TrimSuffix(path, logSuffix) + draftSuffix
	if _, err := os.Stat(draft); err == nil {
		return withStatus(exitNoLog, withHint(fmt.Errorf("no conversion log at %s", path), "there is an unsigned draft; finish it with: convrun sign %s", draft))
	}
	if artifact := strings.TrimSuffix(path, logSuffix); artifact != path {
		if _, err := os.Lstat(artifact); errors.Is(err, fs.ErrNotExist) {
			return withStatus(exitNoLog, fmt.Errorf("%s: no such file, and no conversion log of it", artifact))
		}
	}
	if root := model.Root(strings.TrimSuffix(path, logSuffix)); root+logSuffix != path {
		if _, err := os.Stat(root + logSuffix); err == nil {
			return withStatus(exitNoLog, withHint(fmt.Errorf("no conversion log at %s", path), "it is a part of %s: convrun verify %s", root, root))
		}
	}
	whole := strings.TrimSuffix(path, logSuffix)
	whole = strings.TrimSuffix(whole, filepath.Ext(whole)) // of m.onnx.data, m.onnx
	if _, err := os.Stat(whole + logSuffix); err == nil {
		return withStatus(exitNoLog, withHint(fmt.Errorf("no conversion log at %s", path), "if it is a part of %s: convrun verify %s", whole, whole))
	}
	return withStatus(exitNoLog, withHint(fmt.Errorf("no conversion log at %s", path), "name it with --log, or make one by converting under convrun"))
}

// logOf finds the log of a file: beside it, or the file itself if it is one.
func logOf(file string) (log, artifact string) {
	clean := filepath.Clean(file)
	if strings.HasSuffix(clean, draftSuffix) {
		return clean, clean
	}
	if artifact, ok := strings.CutSuffix(clean, logSuffix); ok {
		return clean, artifact
	}
	return clean + logSuffix, clean
}

// mustExist turns a file that is not there into an error that says so.
func mustExist(path string) error {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return withStatus(exitFailed, withHint(fmt.Errorf("%s: expected the file that its log speaks of, found none", path),
			"was it moved or renamed? name it where it is, and its log with --log"))
	}
	return err
}
