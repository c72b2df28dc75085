package eventloop

import (
	"errors"
	"net"
)

// Listen opens a listening socket on addr, "host:port", with SO_REUSEADDR, and
// returns the address it got: with port 0 the kernel chooses a free one. An
// empty host means every IPv4 address. Call it before Run, once for each
// address.
func (l *Loop) Listen(addr string) (net.Addr, error) {
	return nil, errors.New("not implemented: step 1, listen")
}
