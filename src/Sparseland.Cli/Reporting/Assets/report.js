// Draws every chart in the page's own colours, again when the colour scheme or the width changes.
(() => {
  const palettes = {
    light: { ink: '#1d2125', soft: '#5f6871', line: '#dfe3e6', series: ['#0b6e7f', '#c8642c', '#5b6bb5', '#7a8b2a', '#a0447c', '#6b7680'] },
    dark: { ink: '#e6e9eb', soft: '#9aa4ad', line: '#313941', series: ['#58c4d6', '#f0a06a', '#98a6ee', '#bccb6a', '#dd8abc', '#a9b4bd'] },
  };
  const scheme = window.matchMedia('(prefers-color-scheme: dark)');
  const live = [];

  function themed(option, p) {
    const axis = a => Object.assign({}, a, {
      nameTextStyle: { color: p.soft },
      axisLabel: Object.assign({ color: p.soft }, a.axisLabel),
      axisLine: { lineStyle: { color: p.line } },
      splitLine: { lineStyle: { color: p.line } },
    });
    const out = Object.assign({ color: p.series, textStyle: { color: p.ink } }, option);
    if (out.xAxis) out.xAxis = axis(out.xAxis);
    if (out.yAxis) out.yAxis = axis(out.yAxis);
    if (out.legend) out.legend = Object.assign({}, out.legend, { textStyle: { color: p.ink } });
    return out;
  }

  function draw() {
    const p = scheme.matches ? palettes.dark : palettes.light;
    document.querySelectorAll('.chart').forEach((element, i) => {
      live[i] ??= echarts.init(element, null, { renderer: 'svg' });
      live[i].setOption(themed(charts[Number(element.dataset.chart)], p), true);
    });
    document.body.dataset.drawn = String(live.length);
  }

  document.querySelectorAll('button.save').forEach(button => button.addEventListener('click', () => {
    const quote = cell => /[",\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell;
    const rows = [...button.parentElement.querySelectorAll('tr')].map(r => [...r.cells].map(c => quote(c.textContent)).join(','));
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([rows.join('\n') + '\n'], { type: 'text/csv' }));
    link.download = 'chart.csv';
    link.click();
    URL.revokeObjectURL(link.href);
  }));
  scheme.addEventListener('change', draw);
  window.addEventListener('resize', () => live.forEach(c => c.resize()));
  draw();
})();
