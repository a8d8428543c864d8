package main

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that a command is run as; nil: ours.
type account struct {
	uid, gid   int
	groups     []int
	name, home string // empty if they are not known
}

// commandUser is who a command is run as: the user of this name or number, else
// who called sudo, else we ourselves.
func (h *host) commandUser(name string) (*account, error) {
	if name == "" {
		uid, gid, ok := sudoUser(h)
		if !ok {
			return nil, nil
		}
		a := &account{uid: uid, gid: gid}
		if u, err := h.account(strconv.Itoa(uid)); err == nil { // else there is no more to know
			a.name, a.home, a.groups = u.Username, u.HomeDir, groupsOf(u)
		}
		return a, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, errNoUser(name)
		}
	}
	a := &account{name: u.Username, home: u.HomeDir, groups: groupsOf(u)}
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, errNoUser(name)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, errNoUser(name)
	}
	if os.Geteuid() != 0 {
		if a.uid == os.Geteuid() {
			return nil, nil
		}
		return nil, errNotRoot(name)
	}
	return a, nil
}

// groupsOf are the groups that a user is in besides its own.
func groupsOf(u *user.User) []int {
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []int
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			groups = append(groups, n)
		}
	}
	return groups
}

// environ is env as that user has it.
func (a *account) environ(env []string) []string {
	if a == nil || a.name == "" {
		return env
	}
	mine := []string{"USER=" + a.name, "LOGNAME=" + a.name}
	if a.home != "" {
		mine = append(mine, "HOME="+a.home)
	}
	return append(slices.DeleteFunc(slices.Clone(env), func(s string) bool {
		return slices.ContainsFunc(mine, func(m string) bool {
			key, _, _ := strings.Cut(m, "=")
			return strings.HasPrefix(s, key+"=")
		})
	}), mine...)
}

// String is the account as an argument, for takeUser: UID:GID:GROUP,GROUP.
func (a *account) String() string {
	if a == nil {
		return ""
	}
	groups := make([]string, len(a.groups))
	for i, g := range a.groups {
		groups[i] = strconv.Itoa(g)
	}
	return fmt.Sprintf("%d:%d:%s", a.uid, a.gid, strings.Join(groups, ","))
}

// takeUser makes this process the user's.
func takeUser(who string) error {
	if who == "" {
		return nil
	}
	parts := strings.Split(who, ":")
	if len(parts) != 3 {
		return syscall.EINVAL
	}
	numbers := append([]string{parts[0], parts[1]}, strings.FieldsFunc(parts[2], func(r rune) bool { return r == ',' })...)
	ids := make([]int, len(numbers))
	for i, text := range numbers {
		var err error
		if ids[i], err = strconv.Atoi(text); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(ids[2:]); err != nil {
		return err
	}
	if err := syscall.Setresgid(ids[1], ids[1], ids[1]); err != nil {
		return err
	}
	return syscall.Setresuid(ids[0], ids[0], ids[0])
}
