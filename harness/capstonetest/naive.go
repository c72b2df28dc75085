package capstonetest

// Naive is the server that the targets compare with, which lies in every test
// binary of the capstone's: binary is the path of one. It takes the contract's
// flags.
func Naive(binary string) Program {
	return Program{Command: []string{binary, "-test.run=^$", "-test.bench=^Benchmark$", "--"}, Env: []string{standinEnv + "="}}
}
