// The colour scale that all surfaces share.

function drawScale() {
  const canvas = element("scale-bar");
  const width = canvas.clientWidth;
  if (!width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(46 * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const colors = palette();
  const [left, wide] = [MARGIN.left, (width - MARGIN.left - MARGIN.right) * 0.72];
  colors.forEach((fill, k) => {
    pen.fillStyle = fill;
    pen.fillRect(left + (k * wide) / colors.length, 2, wide / colors.length + 0.7, 12);
  });
  pen.fillStyle = color("beyond");
  pen.fillRect(left + wide + 8, 2, 12, 12);
  pen.fillStyle = color("ink");
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.fillText("rarer", left + wide + 25, 8.5);
  pen.textBaseline = "top";
  pen.textAlign = "center";
  for (const t of ticks(0, DATA.top, 6)) pen.fillText(String(t), left + (t / DATA.top) * wide, 17);
  pen.fillText(`free energy / ${DATA.unit}`, left + wide / 2, 31);
}
