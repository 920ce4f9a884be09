package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/provenance/model"
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
		Use: "sign DRAFT", Short: "sign a draft that a run left unsigned", Args: exactlyOne("a draft"),
		Long: `sign finishes a log: it signs the bytes of DRAFT as they are, writes the log
beside it and removes the draft.` + exitHelp("0", "2", "4", "130"),
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
	payload, err := readRegular(draft, sign.MaxPayloadSize)
	if err != nil {
		return fmt.Errorf("read draft: %w", err)
	}
	p := places{draft: draft, logs: []string{logPath}}
	if logPath == "" {
		if p.logs, err = logsOfDraft(draft); err != nil {
			return err
		}
	}
	st, err := provenance.Parse(payload)
	if err != nil {
		return fmt.Errorf("read draft %s: %w", draft, err)
	}
	if logPath == "" {
		p.logs = append(p.logs, otherModels(st, draft)...)
	}
	config, err := readConfiguration("")
	if err != nil && keyPath == "" {
		return err
	}
	config.key.override(keyPath, "CONVRUN_KEY")
	bundle, err := signPayload(ctx, expandHome(config.key.value), payload, false)
	if err != nil {
		return err
	}
	if dir, err := stateDir(); err == nil {
		p.kept = filepath.Join(dir, "logs", provenance.PlainName(st.Predicate.Run.InvocationID)+logSuffix)
	}
	if err := p.copyByproducts(st, filepath.Dir(draft)); err != nil {
		return err
	}
	if err := p.writeBundle(bundle, payload); err != nil {
		return err
	}
	say(os.Stderr, "", "log: %s", shortPath(p.logs[0]))
	return nil
}

// logsOfDraft is the log that a draft becomes, beside it.
func logsOfDraft(draft string) ([]string, error) {
	stem, ok := strings.CutSuffix(draft, draftSuffix)
	if !ok {
		return nil, usage(withHint(fmt.Errorf("%s: expected a draft, a file that ends in %s", draft, draftSuffix), "name the log's place with --log"))
	}
	return []string{stem + logSuffix}, nil
}

// otherModels are the places of the copies beside further frozen models, when
// the draft lies beside one of them.
func otherModels(st *provenance.Statement, draft string) (logs []string) {
	stem := strings.TrimSuffix(draft, draftSuffix)
	absolute, err := filepath.Abs(stem)
	if err != nil {
		return nil
	}
	base, _, err := listFiles(st).base(context.Background(), absolute)
	if err != nil {
		return nil
	}
	for _, frozen := range st.Predicate.FrozenModels {
		if !filepath.IsLocal(filepath.FromSlash(frozen.Name)) {
			continue
		}
		if root := model.Root(filepath.Join(base, filepath.FromSlash(frozen.Name))); root != absolute {
			logs = append(logs, root+logSuffix)
		}
	}
	return logs
}
