package sim

import (
	"math"
	"slices"
	"testing"
)

func TestSplitMix64(t *testing.T) {
	g := SplitMix64(1)
	for i, want := range []uint64{0x910a2dec89025cc1, 0xbeeb8da1658eec67, 0xf893a2eefb32555e} {
		if got := g.Uint64(); got != want {
			t.Errorf("number %d of seed 1 is %#x, want %#x", i, got, want)
		}
	}
}

func TestReferenceDurations(t *testing.T) {
	tests := map[string]struct {
		first                  [5]float64
		mean, median, p95, max float64
	}{
		"agent":   {[5]float64{39.0795, 15.3722, 31.7431, 5.2470, 6.6600}, 33.074, 19.982, 103.50, 1419.6},
		"heavy":   {[5]float64{11.4985, 7.6966, 5.5425, 113.7433, 170.2144}, 30.392, 12.018, 74.71, 6784.5},
		"bimodal": {[5]float64{151.3284, 134.9295, 2.3906, 96.0635, 106.8985}, 68.715, 71.934, 161.12, 435.3},
		"video":   {[5]float64{51.2922, 65.0068, 61.7060, 65.1840, 40.6735}, 59.893, 59.937, 76.43, 100.2},
		"videoq":  {[5]float64{106.6351, 111.0917, 95.1953, 118.3235, 127.7391}, 120.773, 104.888, 209.36, 1126.7},
		"batch":   {[5]float64{3605.1090, 4708.5218, 20037.5443, 1117.5768, 805.4947}, 4899.106, 3588.722, 13292.38, 69328.1},
	}
	for i, l := range Laws {
		want := tests[l.Name]
		d := l.Durations(uint64(1000+i), 20_000)
		for j, first := range want.first {
			if math.Abs(d[j]-first) > 5.1e-5 {
				t.Errorf("%s: duration %d is %.4f, want %.4f", l.Name, j, d[j], first)
			}
		}
		var sum float64
		for _, v := range d {
			sum += v
		}
		slices.Sort(d)
		for _, m := range []struct {
			name            string
			got, want, tols float64
		}{
			{"mean", sum / 20_000, want.mean, 6e-4},
			{"median", d[10_000], want.median, 6e-4},
			{"95th percentile", d[19_000], want.p95, want.p95 * 1e-3},
			{"maximum", d[19_999], want.max, 0.06},
		} {
			if math.Abs(m.got-m.want) > m.tols {
				t.Errorf("%s: %s is %.4f, want %.4f", l.Name, m.name, m.got, m.want)
			}
		}
		for _, q := range []float64{0.05, 0.5, 0.95} {
			if p := l.CDF(d[int(q*20_000)]); math.Abs(p-q) > 0.01 {
				t.Errorf("%s: the distribution function is %.3f at the %v quantile of the durations", l.Name, p, q)
			}
		}
	}
}
