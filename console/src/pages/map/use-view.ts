import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import type { Point } from './layout';

/** How the map's units become pixels: times `scale`, then moved by `x` and `y`. */
export interface View {
  scale: number;
  x: number;
  y: number;
}

const LEAST = 0.05;
const MOST = 4;
const STEP = 1.25;
const PAN_PX = 60;
/** A press that moves less is a click. */
const CLICK_PX = 4;

/** The view that shows all of the map in a frame of this size, never larger than life. */
export function fitted(
  map: { width: number; height: number },
  frame: { width: number; height: number },
): View {
  const scale = Math.max(LEAST, Math.min(frame.width / map.width, frame.height / map.height, 1.25));
  return {
    scale,
    x: (frame.width - map.width * scale) / 2,
    y: Math.max(0, (frame.height - map.height * scale) / 2),
  };
}

/** The view with another scale in which the map's point under `at` stays where it is. */
export function zoomed(view: View, factor: number, at: Point): View {
  const scale = Math.min(MOST, Math.max(LEAST, view.scale * factor));
  const ratio = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * ratio, y: at.y - (at.y - view.y) * ratio };
}

export interface Steering {
  view: View;
  zoomIn: () => void;
  zoomOut: () => void;
  showAll: () => void;
  /** Moves a point of the map into the frame if it is outside. */
  reveal: (point: Point) => void;
}

/**
 * Zoom and pan of a frame: wheel, drag, arrow keys, plus, minus and 0. The whole map is shown until
 * somebody moves it.
 */
export function useView(
  frame: RefObject<HTMLElement | null>,
  width: number,
  height: number,
): Steering {
  const [view, setView] = useState<View>({ scale: 1, x: 0, y: 0 });
  const [moved, setMoved] = useState(false);
  const size = useRef({ width: 1, height: 1 });
  const showAll = useCallback(() => {
    setMoved(false);
    setView(fitted({ width, height }, size.current));
  }, [width, height]);
  const change = useCallback((next: (view: View) => View) => {
    setMoved(true);
    setView(next);
  }, []);
  const zoomBy = useCallback(
    (factor: number) =>
      change((now) =>
        zoomed(now, factor, { x: size.current.width / 2, y: size.current.height / 2 }),
      ),
    [change],
  );

  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return;
    }
    const observer = new ResizeObserver(() => {
      size.current = { width: element.clientWidth, height: element.clientHeight };
      if (!moved) {
        setView(fitted({ width, height }, size.current));
      }
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [frame, width, height, moved]);

  useEffect(() => {
    const element = frame.current;
    if (element === null) {
      return;
    }
    const listening = new AbortController();
    const { signal } = listening;
    let press: { x: number; y: number; dragged: boolean } | undefined;
    let dragged = false;
    element.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const box = element.getBoundingClientRect();
        const at = { x: event.clientX - box.left, y: event.clientY - box.top };
        change((now) => zoomed(now, 1.0015 ** -event.deltaY, at));
      },
      { passive: false, signal },
    );
    element.addEventListener(
      'pointerdown',
      (event) => {
        dragged = false;
        if (event.button === 0) {
          press = { x: event.clientX, y: event.clientY, dragged: false };
        }
      },
      { signal },
    );
    element.addEventListener(
      'pointermove',
      (event) => {
        if (press === undefined) {
          return;
        }
        const x = event.clientX - press.x;
        const y = event.clientY - press.y;
        if (!press.dragged && Math.hypot(x, y) < CLICK_PX) {
          return;
        }
        if (!press.dragged) {
          element.setPointerCapture(event.pointerId);
        }
        press = { x: event.clientX, y: event.clientY, dragged: true };
        change((now) => ({ ...now, x: now.x + x, y: now.y + y }));
      },
      { signal },
    );
    const release = (): void => {
      dragged = press?.dragged ?? false;
      press = undefined;
    };
    element.addEventListener('pointerup', release, { signal });
    element.addEventListener('pointercancel', release, { signal });
    element.addEventListener('dragstart', (event) => event.preventDefault(), { signal });
    element.addEventListener(
      'click',
      (event) => {
        if (dragged) {
          event.preventDefault();
          event.stopPropagation();
          dragged = false;
        }
      },
      { capture: true, signal },
    );
    element.addEventListener(
      'keydown',
      (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) {
          return;
        }
        const pan: Record<string, [number, number]> = {
          ArrowLeft: [PAN_PX, 0],
          ArrowRight: [-PAN_PX, 0],
          ArrowUp: [0, PAN_PX],
          ArrowDown: [0, -PAN_PX],
        };
        const by = pan[event.key];
        if (by !== undefined) {
          change((now) => ({ ...now, x: now.x + by[0], y: now.y + by[1] }));
        } else if (event.key === '+' || event.key === '=') {
          zoomBy(STEP);
        } else if (event.key === '-') {
          zoomBy(1 / STEP);
        } else if (event.key === '0') {
          showAll();
        } else {
          return;
        }
        event.preventDefault();
      },
      { signal },
    );
    return () => listening.abort();
  }, [frame, change, zoomBy, showAll]);

  const reveal = useCallback((point: Point) => {
    setView((now) => {
      const x = point.x * now.scale + now.x;
      const y = point.y * now.scale + now.y;
      const { width: wide, height: high } = size.current;
      return x >= 0 && x <= wide && y >= 0 && y <= high
        ? now
        : { ...now, x: now.x + wide / 2 - x, y: now.y + high / 2 - y };
    });
  }, []);

  return {
    view,
    zoomIn: () => zoomBy(STEP),
    zoomOut: () => zoomBy(1 / STEP),
    showAll,
    reveal,
  };
}
