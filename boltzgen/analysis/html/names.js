// Names of basins on a surface, with their populations where there is room.

const LINE = 14; // pixels from line to line

/** Draws each name at its place, moved inside at the edges; what would lie on another is left out. */
function drawNames(pen, labels, to, view) {
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineJoin = "round";
  const [left, bottom] = to(view.x, view.y);
  const [right, top] = to(view.x + view.size, view.y + view.size);
  const taken = [];
  for (const label of labels) {
    const [x, y] = to(label.x, label.y);
    if (x < left || x > right || y < top || y > bottom) continue;
    const choices = label.share ? [[label.name, label.share], [label.name]] : [[label.name]];
    for (const lines of choices) {
      const half = Math.max(...lines.map((text) => pen.measureText(text).width)) / 2 + 2;
      const middle = Math.max(left + half, Math.min(right - half, x));
      const high = (lines.length * LINE) / 2;
      const box = [middle - half, y - high, middle + half, y + high];
      if (taken.some((o) => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3])) continue;
      taken.push(box);
      lines.forEach((text, k) => {
        const height = y + LINE * (k - (lines.length - 1) / 2);
        pen.strokeStyle = color("halo");
        pen.lineWidth = 3.5;
        pen.strokeText(text, middle, height);
        pen.fillStyle = color("ink");
        pen.fillText(text, middle, height);
      });
      break;
    }
  }
}
