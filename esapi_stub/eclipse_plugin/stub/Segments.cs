// Geometry of the stub: boxes in mm, and what the operations on segments make of them. Not part of ESAPI.

using System;
using System.Linq;

namespace VMS.TPS.Common.Model.API
{
    internal abstract class Shape
    {
        internal abstract double[] Low { get; }

        internal abstract double[] High { get; }

        internal abstract bool Contains(double[] point);

        /// <summary>Distance in mm to the shape, 0 inside.</summary>
        internal abstract double Distance(double[] point);

        /// <summary>Volume in cc, sampled at the middles of cubes of 1 mm: exact for boxes on whole mm.</summary>
        internal double Volume()
        {
            long inside = 0;
            var point = new double[3];
            for (point[0] = Low[0] + 0.5; point[0] < High[0]; point[0]++)
                for (point[1] = Low[1] + 0.5; point[1] < High[1]; point[1]++)
                    for (point[2] = Low[2] + 0.5; point[2] < High[2]; point[2]++)
                        if (Contains(point))
                            inside++;
            return inside / 1000.0;
        }
    }

    internal sealed class Box : Shape
    {
        private readonly double[] low;
        private readonly double[] high;

        internal Box(double[] low, double[] high)
        {
            this.low = low;
            this.high = high;
        }

        internal override double[] Low
        {
            get { return low; }
        }

        internal override double[] High
        {
            get { return high; }
        }

        internal override bool Contains(double[] point)
        {
            return Distance(point) == 0;
        }

        internal override double Distance(double[] point)
        {
            double sum = 0;
            for (int axis = 0; axis < 3; axis++)
            {
                double outside = Math.Max(0, Math.Max(low[axis] - point[axis], point[axis] - high[axis]));
                sum += outside * outside;
            }
            return Math.Sqrt(sum);
        }
    }

    internal sealed class UnionShape : Shape
    {
        private readonly Shape a;
        private readonly Shape b;

        internal UnionShape(Shape a, Shape b)
        {
            this.a = a;
            this.b = b;
        }

        internal override double[] Low
        {
            get { return a.Low.Zip(b.Low, Math.Min).ToArray(); }
        }

        internal override double[] High
        {
            get { return a.High.Zip(b.High, Math.Max).ToArray(); }
        }

        internal override bool Contains(double[] point)
        {
            return a.Contains(point) || b.Contains(point);
        }

        internal override double Distance(double[] point)
        {
            return Math.Min(a.Distance(point), b.Distance(point));
        }
    }

    internal sealed class GrownShape : Shape
    {
        private readonly Shape core;
        private readonly double margin;

        internal GrownShape(Shape core, double margin)
        {
            this.core = core;
            this.margin = margin;
        }

        internal override double[] Low
        {
            get { return core.Low.Select(value => value - margin).ToArray(); }
        }

        internal override double[] High
        {
            get { return core.High.Select(value => value + margin).ToArray(); }
        }

        internal override bool Contains(double[] point)
        {
            return core.Distance(point) <= margin;
        }

        internal override double Distance(double[] point)
        {
            return Math.Max(0, core.Distance(point) - margin);
        }
    }

    /// <summary>What is in one shape and in, or not in, another. Its distance is not known, so it takes no margin.</summary>
    internal sealed class CutShape : Shape
    {
        private readonly Shape of;
        private readonly Shape other;
        private readonly bool inOther;

        internal CutShape(Shape of, Shape other, bool inOther)
        {
            this.of = of;
            this.other = other;
            this.inOther = inOther;
        }

        internal override double[] Low
        {
            get { return of.Low; }
        }

        internal override double[] High
        {
            get { return of.High; }
        }

        internal override bool Contains(double[] point)
        {
            return of.Contains(point) && other.Contains(point) == inOther;
        }

        internal override double Distance(double[] point)
        {
            throw new NotSupportedException("The stub grows boxes and their unions only.");
        }
    }

    /// <summary>The shape of a structure; no operation changes its operands.</summary>
    public class SegmentVolume
    {
        private const double LargestMarginMm = 50.0;

        internal readonly Shape Shape;

        internal SegmentVolume(Shape shape)
        {
            Shape = shape;
        }

        public SegmentVolume Or(SegmentVolume other)
        {
            return new SegmentVolume(new UnionShape(Shape, other.Shape));
        }

        public SegmentVolume And(SegmentVolume other)
        {
            return new SegmentVolume(new CutShape(Shape, other.Shape, true));
        }

        public SegmentVolume Sub(SegmentVolume other)
        {
            return new SegmentVolume(new CutShape(Shape, other.Shape, false));
        }

        public SegmentVolume Margin(double marginInMM)
        {
            if (!(marginInMM >= 0 && marginInMM <= LargestMarginMm))
                throw Host.Argument("margin-range", "one margin is 0 to 50 mm here");
            return marginInMM == 0 ? this : new SegmentVolume(new GrownShape(Shape, marginInMM));
        }
    }
}
