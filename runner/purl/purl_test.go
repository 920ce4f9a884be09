package purl

import "testing"

// The examples are the specification's own, but for the first and the last.
func TestNew(t *testing.T) {
	for want, got := range map[string]string{
		"pkg:pypi/big-box@1.0%2Blocal":                                           New("pypi", "", "big-box", "1.0+local"),
		"pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie":                   New("deb", "debian", "curl", "7.50.3-1", "arch", "i386", "distro", "jessie"),
		"pkg:npm/%40angular/animation@12.3.1":                                    New("npm", "@angular", "animation", "12.3.1"),
		"pkg:maven/org.apache.xmlgraphics/batik-anim@1.9.1":                      New("maven", "org.apache.xmlgraphics", "batik-anim", "1.9.1"),
		"pkg:rpm/opensuse/curl@7.56.1-1.1.?arch=i386&distro=opensuse-tumbleweed": New("rpm", "opensuse", "curl", "7.56.1-1.1.", "arch", "i386", "distro", "opensuse-tumbleweed"),
		"pkg:generic/a%2F..%2Fb%1B":                                              New("generic", "", "a/../b\x1b", "", "arch", ""),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
