package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/sign"
)

// signPayload signs with the key at path, or with this user's local key; quiet
// does not tell when that has been made.
func signPayload(ctx context.Context, path string, payload []byte, quiet bool) ([]byte, error) {
	key, err := signingKey(path, quiet)
	if err != nil {
		return nil, err
	}
	return sign.Sign(ctx, key, sign.InToto, payload)
}

func newSignCommand() *cobra.Command {
	var keyPath, logPath string
	command := &cobra.Command{
		Use: "sign DRAFT", Short: "sign a draft that a run left unsigned", Args: cobra.ExactArgs(1),
		Long: `sign finishes a log: it signs the bytes of DRAFT as they are, writes the log
beside it and removes the draft.` + exitHelp("0", "2", "4"),
		Example: "  convrun sign --key release.key resnet18.onnx.convlog.draft.json",
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := cancellable(c.Context())
			defer cancel()
			return runSign(ctx, args[0], keyPath, logPath)
		},
	}
	command.Flags().StringVar(&keyPath, "key", "", "private key `FILE` (default: configuration, then this user's local key)")
	command.Flags().StringVar(&logPath, "log", "", "write the log to `PATH` instead of beside the draft")
	return command
}

func runSign(ctx context.Context, draft, keyPath, logPath string) error {
	if logPath == "" {
		stem, ok := strings.CutSuffix(draft, draftSuffix)
		if !ok {
			return usage(withHint(fmt.Errorf("%s: expected a draft, a file that ends in %s", draft, draftSuffix), "name the log's place with --log"))
		}
		logPath = stem + logSuffix
	}
	payload, err := readBounded(draft, sign.MaxPayloadSize)
	if err != nil {
		return fmt.Errorf("read draft: %w", err)
	}
	if _, err := provenance.Parse(payload); err != nil {
		return fmt.Errorf("read draft %s: %w", draft, err)
	}
	if keyPath == "" {
		config, err := readConfiguration("")
		if err != nil {
			return err
		}
		keyPath = config.key.value
	}
	bundle, err := signPayload(ctx, expandHome(keyPath), payload, false)
	if err != nil {
		return err
	}
	p := places{draft: draft, logs: []string{logPath}}
	if dir, err := stateDir(); err == nil {
		p.kept = filepath.Join(dir, "logs", invocationOf(payload)+logSuffix)
	}
	if err := p.writeBundle(bundle); err != nil {
		return err
	}
	say(os.Stderr, "", "log: %s", shortPath(logPath))
	return nil
}

func invocationOf(payload []byte) string {
	st, err := provenance.Parse(payload)
	if err != nil {
		return "unknown"
	}
	return fileName(st.Predicate.Run.InvocationID)
}
