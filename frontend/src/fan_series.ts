/** The forecast fan as a series of its own for lightweight-charts: filled bands, the median, the end of the data. */
import type { CanvasRenderingTarget2D } from "fancy-canvas";
import {
  customSeriesDefaultOptions,
  type CustomData,
  type CustomSeriesOptions,
  type CustomSeriesPricePlotValues,
  type CustomSeriesWhitespaceData,
  type ICustomSeriesPaneRenderer,
  type ICustomSeriesPaneView,
  type PaneRendererCustomData,
  type PriceToCoordinateConverter,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { bandOutline, fanLevels, priceSpan, type FanPoint, type Point } from "./fan";

export interface FanDatum extends CustomData<Time> {
  time: UTCTimestamp;
  point: FanPoint;
}

export interface FanOptions extends CustomSeriesOptions {
  /** Fills from the widest band to the narrowest; they lie on top of each other. */
  bandColors: string[];
  medianColor: string;
  medianWidth: number;
  /** Of the line where the data end; none where it is empty. */
  endColor: string;
}

type Data = PaneRendererCustomData<Time, FanDatum>;
type Step = { x: number; point: FanPoint };

const DASH = [4, 4];

export function fanDatum(point: FanPoint): FanDatum {
  return { time: point.time as UTCTimestamp, point };
}

export class FanView implements ICustomSeriesPaneView<Time, FanDatum, FanOptions> {
  private readonly fanRenderer = new FanRenderer();

  renderer(): ICustomSeriesPaneRenderer {
    return this.fanRenderer;
  }

  update(data: Data, options: FanOptions): void {
    this.fanRenderer.set(data, options);
  }

  priceValueBuilder(datum: FanDatum): CustomSeriesPricePlotValues {
    return priceSpan(datum.point);
  }

  isWhitespace(datum: FanDatum | CustomSeriesWhitespaceData<Time>): datum is CustomSeriesWhitespaceData<Time> {
    return (datum as Partial<FanDatum>).point === undefined;
  }

  defaultOptions(): FanOptions {
    return { ...customSeriesDefaultOptions, bandColors: [], medianColor: "", medianWidth: 2, endColor: "" };
  }
}

class FanRenderer implements ICustomSeriesPaneRenderer {
  private data: Data | null = null;
  private options: FanOptions | null = null;

  set(data: Data, options: FanOptions): void {
    this.data = data;
    this.options = options;
  }

  draw(target: CanvasRenderingTarget2D, toY: PriceToCoordinateConverter): void {
    const { data, options } = this;
    if (!data || !options || data.bars.length === 0) return;
    // The whole fan is drawn, not only its visible bars: a band cut at the window's edge would lose its slope.
    const steps = data.bars.map((bar) => ({ x: bar.x, point: bar.originalData.point }));
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const end = (steps[0]?.x ?? 0) + data.barSpacing / 2;
      if (options.endColor) drawEnd(context, end, mediaSize.height, options.endColor);
      fanLevels(steps.map(({ point }) => point)).forEach((level, index) => {
        fillOutline(context, bandOutline(steps, level, toY), options.bandColors[index] ?? options.medianColor);
      });
      strokeMedian(context, steps, toY, options);
    });
  }
}

function drawEnd(context: CanvasRenderingContext2D, x: number, height: number, color: string): void {
  context.save();
  context.strokeStyle = color;
  context.setLineDash(DASH);
  trace(context, [
    { x, y: 0 },
    { x, y: height },
  ]);
  context.stroke();
  context.restore();
}

function fillOutline(context: CanvasRenderingContext2D, outline: Point[], color: string): void {
  if (outline.length < 3) return;
  context.fillStyle = color;
  trace(context, outline);
  context.closePath();
  context.fill();
}

function strokeMedian(
  context: CanvasRenderingContext2D,
  steps: Step[],
  toY: PriceToCoordinateConverter,
  { medianColor, medianWidth }: FanOptions,
): void {
  const line = steps.flatMap(({ x, point }) => {
    const y = toY(point.median);
    return y === null ? [] : [{ x, y }];
  });
  if (line.length < 2) return;
  context.strokeStyle = medianColor;
  context.lineWidth = medianWidth;
  context.lineJoin = "round";
  trace(context, line);
  context.stroke();
}

function trace(context: CanvasRenderingContext2D, points: Point[]): void {
  context.beginPath();
  points.forEach(({ x, y }, index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
}
