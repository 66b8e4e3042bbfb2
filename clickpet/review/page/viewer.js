// Pictures of a study: NiiVue draws three planes of PET over CT, and the projections in a second instance.
/* global niivue */

const PLANES = [
  { sliceType: 0, position: [0, 0, 0.58, 1] },
  { sliceType: 1, position: [0.58, 0, 0.42, 0.52] },
  { sliceType: 2, position: [0.58, 0.52, 0.42, 0.48] },
];
// labels of the drawing: mask (right where the truth is shown), false, missed
const COLOURS = { R: [0, 88, 255, 77], G: [0, 214, 160, 141], B: [0, 104, 46, 255], A: [0, 255, 255, 255] };
const LABELS = 1002; // NIfTI's intent code of labels
const MASK_OPACITY = 0.25;
const RIGHT = 1, FALSE = 2, MISSED = 3;
const CLICK_COLOURS = { tumor: [0, 229, 255], background: [255, 92, 244] };
const MIN_CLICK_MM = 4;
const NO_CLICK = { name: "", x: 0, y: 0, z: 0, colorValue: 1, sizeValue: 1e-6 };
const RINGS = [1, 0.93, 0.86]; // spheres, one in the other, whose cuts make a line that is wide enough
const COMMON = {
  isRadiologicalConvention: true, dragAndDropEnabled: false, multiplanarShowRender: 0, logLevel: "error",
  viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", loadingText: "", isForceMouseClickToVoxelCenters: true,
  crosshairWidthUnit: "mm", fontMinPx: 12, fontSizeScaling: 0.25,
};

/** Bytes of a mask as the server packs them: {box, zlib} to a Uint8Array in the box's order, x fastest. */
export async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.zlib), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Write the values of a box into a volume of `shape`. */
function paste(volume, shape, box, values) {
  const [[x0, x1], [y0, y1], [z0, z1]] = box;
  let from = 0;
  for (let z = z0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      volume.set(values.subarray(from, from + x1 - x0), x0 + shape[0] * (y + shape[1] * z));
      from += x1 - x0;
    }
  }
}

export class Viewer {
  /** planes, mip : elements that hold a canvas each;  onMove : called with the voxel under the cross. */
  constructor(planes, mip, onMove) {
    this.elements = { planes, mip };
    this.onMove = onMove;
    this.turn = 0;
    this.clickMesh = {};
  }

  async start() {
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("this browser has no WebGL 2: take a current Firefox, Chrome or Edge, with it switched on");
    }
    this.nv = new niivue.Niivue({
      ...COMMON, backColor: [0, 0, 0, 1], crosshairWidth: 1, crosshairColor: [0.4, 0.8, 1, 0.7], dragMode: 0,
      mouseEventConfig: { leftButton: { primary: 8 }, rightButton: 3, centerButton: 3 }, // cross; move
      isCornerOrientationText: true, fontColor: [0.8, 0.8, 0.8, 1],
    });
    this.nvMip = new niivue.Niivue({
      ...COMMON, backColor: [1, 1, 1, 1], crosshairWidth: 1.5, crosshairColor: [0.1, 0.5, 0.9, 0.7], dragMode: 0,
      isOrientationTextVisible: false, sliceType: 1,
    });
    await this.nv.attachToCanvas(this.elements.planes.querySelector("canvas"));
    await this.nvMip.attachToCanvas(this.elements.mip.querySelector("canvas"));
    this.nv.setCustomLayout(PLANES);
    this.nv.opts.atlasOutline = 1; // NiiVue draws its own drawings below the PET, so the mask is a third volume
    this.nvMip.setDrawColormap(COLOURS);
    this.nvMip.drawRimOpacity = 1;
    for (const [kind, [r, g, b]] of Object.entries(CLICK_COLOURS)) {
      this.nv.addColormap(kind, { R: [r, r], G: [g, g], B: [b, b], A: [255, 255], I: [0, 255] });
    }
    this.nv.onLocationChange = () => this.moved();
    this.elements.planes.addEventListener("wheel", (event) => {
      this.nv.opts.dragMode = event.ctrlKey ? 3 : 0; // enlarge, or change slices
    }, { capture: true, passive: true });
    this.elements.mip.addEventListener("wheel", (event) => {
      event.preventDefault();
      event.stopPropagation();
      this.rotate(Math.sign(event.deltaY));
    }, { capture: true, passive: false });
  }

  /** Load a study. base : address of its volumes;  study : its description. */
  async open(base, study) {
    this.study = study;
    this.shape = study.shape;
    this.mask = new Uint8Array(study.shape[0] * study.shape[1] * study.shape[2]);
    this.truth = null;
    this.shown = { mask: true, clicks: true, truth: false };
    await this.nv.loadVolumes([
      { url: `${base}/ct.nii`, colormap: "gray", cal_min: -160, cal_max: 240 },
      { url: `${base}/pet.nii`, colormap: "hot", cal_min: 0, cal_max: study.suv_window, opacity: 0.5 },
    ]);
    this.labels = niivue.NVImage.zerosLike(this.nv.volumes[0], "uint8");
    this.labels.hdr.intent_code = LABELS;
    this.labels.setColormapLabel({ ...COLOURS, labels: ["", "mask", "false", "missed"] });
    this.labels.opacity = MASK_OPACITY;
    this.nv.addVolume(this.labels);
    await this.setMask(study);
    this.resetZoom();
  }

  /** Load the projections, which may take the server a second. */
  async openMip(base) {
    await this.nvMip.loadVolumes([
      { url: `${base}/mip.nii`, colormap: "gray", colormapInvert: true, cal_min: 0, cal_max: this.study.suv_window },
    ]);
    this.nvMip.volumes[0].colormapInvert = true;
    this.nvMip.drawOpacity = 0.35;
    this.mipReady = true;
    this.setWindow(...this.window);
    this.drawMip();
    this.moved();
  }

  close() {
    this.mipReady = false;
    this.nvMip.closeDrawing();
    for (const nv of [this.nv, this.nvMip]) {
      while (nv.volumes.length) nv.removeVolumeByIndex(nv.volumes.length - 1);
    }
    this.mask = this.truth = null;
  }

  // ---- mask, truth, clicks

  /** Take the mask of a state: the part that changed, or all of it. */
  async setMask(state) {
    if (state.mask) paste(this.mask, this.shape, state.mask.box, await unpack(state.mask));
    this.mipMask = await unpack(state.mip_mask);
    this.clicks = state.clicks;
    this.redraw();
  }

  setTruth(values) {
    this.truth = values;
  }

  redraw() {
    const { mask, truth } = this, drawing = this.labels.img;
    if (!this.shown.mask && !(this.shown.truth && truth)) drawing.fill(0);
    else if (this.shown.truth && truth) {
      for (let i = 0; i < drawing.length; i++) {
        drawing[i] = truth[i] ? (mask[i] && this.shown.mask ? RIGHT : MISSED) : mask[i] && this.shown.mask ? FALSE : 0;
      }
    } else drawing.set(mask);
    this.refreshOverlays();
    this.drawClicks(this.shown.clicks ? this.clicks : { tumor: [], background: [] });
    this.drawMip();
  }

  /** Draw the PET and what lies over it anew; the CT stays, which takes a third of the time. */
  refreshOverlays() {
    this.nv.refreshLayers(this.nv.volumes[1], 1);
    this.nv.refreshLayers(this.labels, 2);
    this.nv.drawScene();
  }

  drawMip() {
    if (!this.mipReady || !this.mipMask) return;
    if (!this.nvMip.drawBitmap) this.nvMip.createEmptyDrawing();
    if (this.shown.mask) this.nvMip.drawBitmap.set(this.mipMask);
    else this.nvMip.drawBitmap.fill(0);
    this.nvMip.refreshDrawing(true);
  }

  /** Show the clicks as rings; NiiVue's spheres of a connectome, made once, whose nodes change. */
  drawClicks(clicks) {
    const radius = Math.max(MIN_CLICK_MM, 0.6 * Math.min(...this.study.mip.spacing_mm));
    this.nv.opts.meshThicknessOn2D = 1.05 * radius;
    for (const kind of Object.keys(CLICK_COLOURS)) {
      const mesh = this.clickMesh[kind] ?? this.addClickMesh(kind);
      mesh.nodeScale = radius;
      mesh.nodes = clicks[kind].flatMap((voxel) => {
        const [x, y, z] = this.millimetres(voxel);
        return RINGS.map((sizeValue) => ({ name: "", x, y, z, colorValue: 1, sizeValue }));
      });
      if (!mesh.nodes.length) mesh.nodes = [NO_CLICK];
      mesh.updateConnectome(this.nv.gl);
    }
    this.nv.drawScene();
  }

  addClickMesh(kind) {
    const mesh = this.nv.loadConnectomeAsMesh({
      name: kind, nodeColormap: kind, nodeColormapNegative: kind, nodeMinColor: 0, nodeMaxColor: 1, nodeScale: 1,
      edgeColormap: kind, edgeColormapNegative: kind, edgeMin: 0, edgeMax: 1, edgeScale: 1, nodes: [NO_CLICK], edges: [],
    });
    this.nv.addMesh(mesh);
    this.nv.setMeshShader(mesh.id, "Crosscut"); // rings where planes cut the spheres
    this.clickMesh[kind] = mesh;
    return mesh;
  }

  show(what, on) {
    this.shown[what] = on;
    this.redraw();
  }

  // ---- windows

  setWindow(low, high) {
    this.window = [low, high];
    const volumes = [this.nv.volumes[1], this.mipReady ? this.nvMip.volumes[0] : null];
    for (const volume of volumes.filter(Boolean)) [volume.cal_min, volume.cal_max] = [low, high];
    this.refreshOverlays();
    if (this.mipReady) this.nvMip.updateGLVolume();
  }

  setCtWindow(low, high) {
    [this.nv.volumes[0].cal_min, this.nv.volumes[0].cal_max] = [low, high];
    this.nv.updateGLVolume();
  }

  setOpacity(part) {
    this.nv.volumes[1].opacity = part;
    this.refreshOverlays();
  }

  // ---- places

  millimetres([x, y, z]) {
    return this.study.affine.slice(0, 3).map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
  }

  /** The voxel under the cross. */
  get voxel() {
    return this.shape.map((length, axis) =>
      Math.min(length - 1, Math.max(0, Math.floor(this.nv.scene.crosshairPos[axis] * length))));
  }

  goTo(voxel) {
    for (let axis = 0; axis < 3; axis++) {
      this.nv.scene.crosshairPos[axis] = (Math.min(this.shape[axis] - 1, Math.max(0, voxel[axis])) + 0.5) / this.shape[axis];
    }
    this.nv.drawScene();
    this.moved();
  }

  step(x, y, z) {
    const [a, b, c] = this.voxel;
    this.goTo([a + x, b + y, c + z]);
  }

  resetZoom() {
    this.nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.nv.drawScene();
  }

  /** SUV of a voxel. */
  suv([x, y, z]) {
    const { img, hdr } = this.nv.volumes[1];
    return img[x + this.shape[0] * (y + this.shape[1] * z)] * hdr.scl_slope;
  }

  hu([x, y, z]) {
    return this.nv.volumes[0].img[x + this.shape[0] * (y + this.shape[1] * z)];
  }

  // ---- the projections

  rotate(steps) {
    const turns = this.study.mip.shape[1];
    this.turn = (((this.turn + steps) % turns) + turns) % turns;
    this.moved();
  }

  /** Pixel of the projections under their cross: [across, turn, up]. */
  get pixel() {
    return this.study.mip.shape.map((length, axis) =>
      Math.min(length - 1, Math.max(0, Math.floor(this.nvMip.scene.crosshairPos[axis] * length))));
  }

  /** After the cross has moved: the cross of the projections follows. */
  moved() {
    if (this.nv.volumes.length < 2) return;
    const voxel = this.voxel, mip = this.study.mip;
    if (this.mipReady) {
      const angle = (2 * Math.PI * this.turn) / mip.shape[1];
      const pooled = voxel.map((index, axis) => Math.floor(index / mip.pool[axis]));
      const mm = [0, 1].map((axis) =>
        (pooled[axis] - Math.floor(Math.ceil(this.shape[axis] / mip.pool[axis]) / 2)) * mip.pool[axis] * mip.spacing_mm[axis]);
      const across = Math.round((mm[0] * Math.cos(angle) + mm[1] * Math.sin(angle)) / mip.pixel_mm[0]) + (mip.shape[0] - 1) / 2;
      [across, this.turn, pooled[2]].forEach((index, axis) => {
        this.nvMip.scene.crosshairPos[axis] = (index + 0.5) / mip.shape[axis];
      });
      this.nvMip.drawScene();
    }
    this.onMove(voxel, Math.round((360 * this.turn) / mip.shape[1]));
  }
}
