module codeq/bench/compare

go 1.24.6
