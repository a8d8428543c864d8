package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sockcap/sockcap/wireshark"
)

// installCommand is `sockcap dissector install`.
func installCommand(h *host) *cobra.Command {
	system := false
	c := &cobra.Command{
		Use:   "install",
		Short: shortInstall,
		Long:  helpDissector,
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return install(c.Context(), h, system) },
	}
	c.Flags().BoolVar(&system, "system", false, forAllUsers)
	return c
}

// uninstallCommand is `sockcap dissector uninstall`.
func uninstallCommand(h *host) *cobra.Command {
	system, force := false, false
	c := &cobra.Command{
		Use:   "uninstall",
		Short: shortUninstall,
		Long:  helpDissector,
		Args:  noArguments,
		RunE:  func(c *cobra.Command, _ []string) error { return uninstall(c.Context(), h, system, force) },
	}
	c.Flags().BoolVar(&system, "system", false, forAllUsers)
	c.Flags().BoolVar(&force, "force", false, forceWords)
	return c
}

// install puts what Wireshark needs where it looks: for the user, or for all.
func install(ctx context.Context, h *host, system bool) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	if system {
		unix.Umask(0o022) // others are to read what we make
	} else {
		who, err := becomeCaller(h)
		switch {
		case err != nil:
			return err
		case who != "":
			h.sayInstallingFor(who)
		}
		if os.Geteuid() == 0 {
			h.sayRootsOwn()
		}
	}
	folders, err := wiresharkFolders(ctx, h, system)
	if err != nil {
		return err
	}
	steps, err := wireshark.Install(folders, executable, system)
	return errors.Join(printSteps(h.stdout, steps, keptByInstall), err)
}

// uninstall takes away what install has put there.
func uninstall(ctx context.Context, h *host, system, force bool) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	if !system {
		who, err := becomeCaller(h)
		switch {
		case err != nil:
			return err
		case who != "":
			h.sayUninstallingFor(who)
		}
	}
	folders, err := wiresharkFolders(ctx, h, system)
	if err != nil {
		return err
	}
	steps, err := wireshark.Uninstall(folders, executable, system, force)
	if len(steps) == 0 && err == nil {
		h.sayNotInstalled(system)
	}
	return errors.Join(printSteps(h.stdout, steps, keptByUninstall), err)
}

// becomeCaller makes this process, for the rest of its life, one of the user
// who called sudo: all files are then made with that user's rights, in that
// user's home, whatever links are there. It changes nothing without sudo; else
// it gives that user's name.
func becomeCaller(h *host) (name string, err error) {
	uid, gid, ok := sudoUser(h)
	if !ok {
		return "", nil
	}
	u, err := h.account(strconv.Itoa(uid))
	if err != nil || !filepath.IsAbs(u.HomeDir) {
		return "", errNoHome(uid)
	}
	groups := []int{gid}
	ids, _ := u.GroupIds() // fewer groups are fewer rights
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			groups = append(groups, n)
		}
	}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"setgroups", func() error { return syscall.Setgroups(groups) }},
		{"setgid", func() error { return syscall.Setgid(gid) }},
		{"setuid", func() error { return syscall.Setuid(uid) }},
		{"setenv", func() error { return os.Setenv("HOME", u.HomeDir) }}, // tshark goes by it
	} {
		if err := step.run(); err != nil {
			return "", os.NewSyscallError(step.name, err)
		}
	}
	return u.Username, nil
}

// wiresharkFolders are those that every tshark in PATH names, in that order;
// without one, the user's that are documented. One that can't say is passed
// over as long as another can.
func wiresharkFolders(ctx context.Context, h *host, system bool) (wireshark.Folders, error) {
	var (
		all   wireshark.Folders
		errs  []error
		found bool
	)
	for _, tshark := range inPath("tshark") {
		personal, global, err := wireshark.AskFolders(ctx, tshark)
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case system:
			all.Add(global)
		default:
			all.Add(personal)
		}
		found = true
	}
	switch {
	case found:
		return all, nil
	case len(errs) > 0:
		return all, errs[0]
	case system:
		return all, errNoTshark()
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return all, err
	}
	h.sayNoTshark()
	return wireshark.DefaultFolders(home, h.getenv("XDG_CONFIG_HOME")), nil
}

// inPath gives each file of that name in PATH which can be run, once.
func inPath(name string) []string {
	var found []string
	var seen []os.FileInfo
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || !filepath.IsAbs(dir) || !info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil {
			continue
		}
		same := func(other os.FileInfo) bool { return os.SameFile(info, other) }
		if !slices.ContainsFunc(seen, same) {
			found, seen = append(found, path), append(seen, info)
		}
	}
	return found
}
