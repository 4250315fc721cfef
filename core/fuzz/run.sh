#!/bin/sh
# Fuzzes all targets, half the given seconds each: run.sh SECONDS [seed folder of captures].
# Coverage comes from LLVM's sanitizer pass, which a stable toolchain has too; memory safety needs no
# sanitizer here: the fuzzed crates forbid unsafe code. Finds go to core/fuzz/artifacts/.
set -eu
cd "$(dirname "$0")"
seconds=$(( ${1:-60} / 2 ))
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1" \
    cargo build --release --quiet --target "$(rustc -vV | sed -n 's/^host: //p')"
mkdir -p artifacts
for target in dissectors frames; do
    mkdir -p "corpus/$target" "seeds/$target"
    "target/$(rustc -vV | sed -n 's/^host: //p')/release/$target" "corpus/$target" "seeds/$target" \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="artifacts/$target-" -print_final_stats=1 2>&1 |
        grep -E 'ERROR|panicked|SUMMARY|number_of_executed_units|DONE' || true
    if ls "artifacts/$target-"* >/dev/null 2>&1; then
        echo "fuzzing $target found a failure: core/fuzz/artifacts/" >&2
        exit 1
    fi
done
