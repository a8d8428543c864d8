// Command interface answers as an extcap program that has one interface.
package main

import (
	"fmt"
	"os"
	"slices"
)

func main() {
	switch {
	case slices.Contains(os.Args, "--extcap-interfaces"):
		fmt.Println("extcap {version=1.0}\ninterface {value=installed}{display=Installed}")
	case slices.Contains(os.Args, "--extcap-dlts"):
		fmt.Println("dlt {number=147}{name=USER0}{display=sockcap}")
	}
}
