using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Coupling;

/// <summary>How the axes of a value correspond to those of the same elements under another shape.</summary>
internal static class ShapeFactors
{
    /// <summary>Axes [FromStart, FromStart + FromCount) hold the same elements as axes [ToStart, ToStart + ToCount).</summary>
    /// <param name="FromStart">First axis of the old shape.</param>
    /// <param name="FromCount">Number of axes of the old shape.</param>
    /// <param name="ToStart">First axis of the new shape.</param>
    /// <param name="ToCount">Number of axes of the new shape.</param>
    /// <param name="IsKnown">False when unknown sizes leave open how they correspond.</param>
    public readonly record struct Piece(int FromStart, int FromCount, int ToStart, int ToCount, bool IsKnown);

    /// <summary>Cuts both shapes into the smallest pieces with equal numbers of elements.</summary>
    /// <param name="from">The old shape.</param>
    /// <param name="to">The new shape.</param>
    /// <param name="same">Whether an unknown size of the old shape is surely that of the new one (axis numbers).</param>
    public static List<Piece> Cut(TensorShape from, TensorShape to, Func<int, int, bool>? same = null)
    {
        bool Same(int i, int j) => from[i].IsKnown
            ? from[i] == to[j]
            : !to[j].IsKnown && ((from[i].Symbol is not null && from[i].Symbol == to[j].Symbol) || (same?.Invoke(i, j) ?? false));

        var unknownFrom = Enumerable.Range(0, from.Rank).Where(i => !from[i].IsKnown).ToList();
        var unknownTo = Enumerable.Range(0, to.Rank).Where(i => !to[i].IsKnown).ToList();
        var pieces = new List<Piece>();

        // Unknown sizes that surely correspond are fixed points; what lies between them is plain arithmetic.
        int open = 0;
        bool paired = unknownFrom.Count == unknownTo.Count;
        for (int k = 0; paired && k < unknownFrom.Count; k++)
        {
            if (!Same(unknownFrom[k], unknownTo[k])) open++;
        }
        if (paired && open <= 1)
        {
            int i = 0, j = 0;
            var attempt = new List<Piece>();
            bool ok = true;
            for (int k = 0; ok && k <= unknownFrom.Count; k++)
            {
                int endFrom = k < unknownFrom.Count ? unknownFrom[k] : from.Rank, endTo = k < unknownTo.Count ? unknownTo[k] : to.Rank;
                ok = Known(from, i, endFrom, to, j, endTo, attempt);
                if (k < unknownFrom.Count) attempt.Add(new(endFrom, 1, endTo, 1, true));
                i = endFrom + 1;
                j = endTo + 1;
            }
            if (ok) return attempt;
        }

        // Otherwise equal sizes at both ends correspond, and the middle is open.
        int head = 0;
        while (head < from.Rank && head < to.Rank && Same(head, head))
        {
            pieces.Add(new(head, 1, head, 1, true));
            head++;
        }
        int tail = 0;
        while (from.Rank - tail > head && to.Rank - tail > head && Same(from.Rank - 1 - tail, to.Rank - 1 - tail)) tail++;
        int middleFrom = from.Rank - tail - head, middleTo = to.Rank - tail - head;
        if (middleFrom > 0 || middleTo > 0) pieces.Add(new(head, middleFrom, head, middleTo, false));
        for (int k = tail; k > 0; k--) pieces.Add(new(from.Rank - k, 1, to.Rank - k, 1, true));
        return pieces;
    }

    private static bool Known(TensorShape from, int i, int endFrom, TensorShape to, int j, int endTo, List<Piece> pieces)
    {
        while (i < endFrom || j < endTo)
        {
            int startFrom = i, startTo = j;
            long a = 1, b = 1;
            if (i < endFrom) a = from[i++].Value;
            if (j < endTo) b = to[j++].Value;
            while (a != b)
            {
                if (a < b && i < endFrom) a *= from[i++].Value;
                else if (b < a && j < endTo) b *= to[j++].Value;
                else return false;
            }
            // Sizes of 1 behind a piece belong to it: they move freely.
            while (i < endFrom && from[i].Value == 1) i++;
            while (j < endTo && to[j].Value == 1) j++;
            pieces.Add(new(startFrom, i - startFrom, startTo, j - startTo, true));
        }
        return true;
    }

    /// <summary>States the coupling of a reshape from <paramref name="x"/> to <paramref name="y"/>.</summary>
    public static void Reshaped(this AxisCoupling c, Port x, Port y, Func<int, int, bool>? same = null)
    {
        foreach (Piece piece in Cut(c.Shape(x), c.Shape(y), same))
        {
            int[] from = Axes(c, x, piece.FromStart, piece.FromCount), to = Axes(c, y, piece.ToStart, piece.ToCount);
            if (!piece.IsKnown)
            {
                foreach (int axis in from) c.Freeze(x, axis, RefusalReason.DynamicShape, "unknown sizes leave open where its entries go in a reshape");
                foreach (int axis in to) c.Freeze(y, axis, RefusalReason.DynamicShape, "unknown sizes leave open where its entries come from in a reshape");
            }
            else if (from.Length == 1 && to.Length == 1)
            {
                c.Link(x, from[0], y, to[0]);
                c.SetZero(y, to[0], c.IsZero(x, from[0]));
            }
            else if (from.Length == 1 && to.Length > 1)
            {
                c.LinkProduct(x, from[0], y, piece.ToStart, piece.ToCount);
                foreach (int axis in to) c.SetZero(y, axis, c.IsZero(x, from[0]));
            }
            else if (to.Length == 1 && from.Length > 1)
            {
                c.LinkProduct(y, to[0], x, piece.FromStart, piece.FromCount);
                c.SetZero(y, to[0], from.All(axis => c.IsZero(x, axis)));
            }
            else
            {
                foreach (int axis in from) c.Freeze(x, axis, RefusalReason.ReshapeFactor, "a reshape mixes it with other axes");
                foreach (int axis in to) c.Freeze(y, axis, RefusalReason.ReshapeFactor, "a reshape mixes it with other axes");
            }
        }
    }

    // The axes of a piece that have entries to speak of: size 1 is only a matter of notation.
    private static int[] Axes(AxisCoupling c, Port port, int start, int count) =>
        [.. Enumerable.Range(start, count).Where(axis => c.Size(port, axis) != 1)];
}
