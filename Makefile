# Forwards to the one task runner; nothing is done here.
.PHONY: test quick tidy sim bench openapi

test tidy sim bench openapi:
	cargo xtask $@ $(ARGS)

quick:
	cargo xtask test --quick $(ARGS)
