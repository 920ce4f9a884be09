package report

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// TestContrast holds WCAG 2.2's success criterion 1.4.3, level AA, for every
// pair of ink and ground that the style sheet uses, light and dark.
func TestContrast(t *testing.T) {
	themes := colors(t)
	if len(themes) != 2 {
		t.Fatalf("expected the colours of 2 themes, found %d", len(themes))
	}
	for i, theme := range themes {
		for _, pair := range [][2]string{
			{"ink", "paper"}, {"muted", "paper"}, {"accent", "paper"}, {"good", "paper"}, {"caution", "paper"}, {"bad", "paper"},
			{"ink", "tint"}, {"muted", "tint"}, {"accent", "tint"}, {"bad", "tint"},
			{"ink", "caution-tint"}, {"caution", "caution-tint"}, {"accent", "caution-tint"},
			{"ink", "bad-tint"}, {"bad", "bad-tint"}, {"accent", "bad-tint"},
		} {
			if got := contrast(theme[pair[0]], theme[pair[1]]); got < 4.5 {
				t.Errorf("theme %d: %s on %s has a contrast of %.2f, expected at least 4.5", i, pair[0], pair[1], got)
			}
		}
	}
}

// colors reads the custom properties of each :root rule in their order.
func colors(t *testing.T) []map[string][3]float64 {
	t.Helper()
	var themes []map[string][3]float64
	for _, rule := range regexp.MustCompile(`:root \{[^}]*\}`).FindAllString(htmlStyle, -1) {
		theme := map[string][3]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(rule, -1) {
			n, err := strconv.ParseUint(m[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			theme[m[1]] = [3]float64{float64(n >> 16), float64(n >> 8 & 0xff), float64(n & 0xff)}
		}
		themes = append(themes, theme)
	}
	return themes
}

// contrast is WCAG 2.2's contrast ratio of two sRGB colours.
func contrast(a, b [3]float64) float64 {
	luminance := func(c [3]float64) float64 {
		for i, v := range c {
			if v /= 255; v <= 0.04045 {
				c[i] = v / 12.92
			} else {
				c[i] = math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
	}
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}
