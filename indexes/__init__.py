"""Every index as code: `definitions` is the table, `sync` compares it with a database and mends the
difference."""
