package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"pollux/cache"
)

var _ cache.Accounts = (*Store)(nil)

// Account implements cache.Accounts.
func (s *Store) Account(ctx context.Context, name string, change func(kept []byte) ([]byte, error)) error {
	return s.exec(ctx, "change account", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO pollux_accounts (name) VALUES ($1) ON CONFLICT DO NOTHING`, name); err != nil {
			return err
		}
		var kept []byte
		if err := tx.QueryRow(ctx, `SELECT value FROM pollux_accounts WHERE name = $1 FOR UPDATE`, name).Scan(&kept); err != nil {
			return err
		}
		next, err := change(kept)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE pollux_accounts SET value = $2 WHERE name = $1`, name, next)
		return err
	})
}
