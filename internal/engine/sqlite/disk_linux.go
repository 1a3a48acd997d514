package sqlite

import "syscall"

// filesystems names what statfs(2) reports about places that are no ordinary local disk.
var filesystems = map[int64]string{
	0x01021994: tmpfs,
	0x858458f6: "ramfs",
	0x6969:     "NFS",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x517b:     "SMB",
	0x01021997: "9p",
	0x65735546: "FUSE",
	0x00c36400: "Ceph",
}

// freeSpace returns the bytes that this user may still write to the directory's file system.
func freeSpace(dir string) (bytes uint64, known bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return fs.Bavail * uint64(fs.Bsize), true
}

// filesystem returns the name of a file system that needs a warning, else "".
func filesystem(dir string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return ""
	}
	return filesystems[int64(uint32(fs.Type))]
}
