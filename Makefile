# Thin on purpose: all logic is in `cargo xtask`.
CARGO ?= cargo

.PHONY: all demo test check dist clean

all: dist

# Compile and sign the example, boot it on a real kernel, watch it drop.
demo:
	$(CARGO) xtask demo

# Every test, on real kernels too.
test:
	$(CARGO) xtask test

# The tests of every day: no virtual machines, no fuzzing.
check:
	$(CARGO) xtask test --no-vm --no-fuzz

# The release binaries, in target/dist/.
dist:
	$(CARGO) xtask dist

clean:
	$(CARGO) clean
