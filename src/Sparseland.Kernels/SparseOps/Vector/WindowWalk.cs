using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Goes through the windows of a part: counts its steps, or writes them.</summary>
internal sealed unsafe class WindowWalk
{
    private readonly WindowSource _source;
    private readonly WindowLayout.WindowShape _shape;
    private readonly int _first, _rows;
    private readonly int[] _columns, _end, _next, _until, _places, _order;

    public WindowWalk(WindowSource source, WindowLayout.WindowShape shape, int part)
    {
        (_source, _shape, _first) = (source, shape, part * shape.PartRows);
        _rows = Math.Min(shape.PartRows, source.Rows - _first);
        (_end, _next, _until, _places, _order) = (new int[_rows], new int[_rows], new int[_rows], new int[_rows], new int[_rows]);
        int total = 0;
        for (int r = 0; r < _rows; r++)
        {
            _next[r] = _until[r] = total;
            _end[r] = total = checked(total + source.Count(_first + r));
        }
        _columns = new int[total];
        for (int r = 0; r < _rows; r++) source.ColumnsOf(_first + r, _columns.AsSpan(_next[r].._end[r]));
    }

    // Integers say of every row that it has met the scale of this window, which may be NaN. Narrow ones do so where the columns of a scale end.
    private bool EveryGroup => _shape.Form == WindowForm.Wide && _shape.Kind.IsQuantized();

    /// <summary>Steps with bytes and with differences, and groups.</summary>
    public (long Steps, long DeltaSteps, int Groups) Count()
    {
        long plain = 0, deltas = 0;
        int groups = 0;
        for (int w = 0; w < _shape.Windows; w++)
        {
            if (!Enter(w, deltas: false) && !EveryGroup) continue;
            Sort();
            for (int g = 0; g < _rows; g += _shape.Lanes)
            {
                int steps = Steps(g);
                if (steps == 0 && !EveryGroup) break;
                plain += steps;
                groups++;
            }
            Measure(w);
            Sort();
            for (int g = 0; g < _rows; g += _shape.Lanes) deltas += Steps(g);
        }
        return (plain, deltas, groups);
    }

    /// <summary>Writes the part into a layout.</summary>
    public void Write(WindowLayout layout, int part)
    {
        var values = new int[_columns.Length];
        for (int r = 0, start = 0; r < _rows; start = _end[r], r++) _source.ValuesOf(_first + r, values.AsSpan(start.._end[r]));
        byte* steps = layout.Steps + (layout.StepStarts[part] * layout.StepBytes), head = layout.Heads + ((nint)layout.GroupStarts[part] * _shape.HeadBytes);
        int group = layout.GroupStarts[part];
        for (int w = 0; w < _shape.Windows; w++)
        {
            if (!Enter(w, layout.Deltas) && !EveryGroup) continue;
            Sort();
            byte groups = 0;
            for (int g = 0; g < _rows; g += _shape.Lanes, groups++, head += _shape.HeadBytes)
            {
                int count = Steps(g);
                if (count == 0 && !EveryGroup) break;
                layout.StepsOfGroups[group++] = (byte)count;
                nint bytes = count * layout.StepBytes;
                Clear(steps, bytes, count, layout.StepBytes);
                new Span<byte>(head, _shape.HeadBytes).Clear();
                for (int lane = 0; lane < _shape.Lanes && g + lane < _rows; lane++) Lane(_order[g + lane], lane, w, values, steps, head, layout);
                steps += bytes;
            }
            layout.GroupsOfWindows[(part * _shape.Windows) + w] = groups;
        }
    }

    // Bytes of zero, and in floating point minus zero for values.
    private void Clear(byte* steps, nint bytes, int count, int stepBytes)
    {
        new Span<byte>(steps, (int)bytes).Clear();
        for (int s = 0; s < count; s++, steps += stepBytes)
        {
            if (_shape.Kind == ValueKind.Float32) new Span<int>(steps, _shape.Places).Fill(WindowLayout.Missing);
            else if (_shape.Kind == ValueKind.BFloat16) new Span<ushort>(steps, _shape.Places).Fill(WindowLayout.Missing >>> 16);
        }
    }

    private void Lane(int row, int lane, int window, int[] values, byte* steps, byte* head, WindowLayout layout)
    {
        int first = window * _shape.Window, place = 0, before = first, sum = 0;
        for (int e = _next[row]; e < _until[row]; e++)
        {
            int column = _columns[e], gap = column - before, value = values[e];
            if (layout.Deltas)
            {
                for (; gap > 15; gap -= 15) Put(place++, 15, 0, isEntry: false);
                Put(place++, gap, value, isEntry: true);
            }
            else
            {
                Put(place++, column - first, value, isEntry: true);
            }
            before = column;
            sum += value;
        }
        head[lane] = (byte)row;
        if (!EveryGroup) return;
        ((short*)(head + _shape.Lanes))[lane] = (short)-sum;
        if (_shape.Kind == ValueKind.Int4) ((ushort*)(head + (3 * _shape.Lanes)))[lane] = _source.Scale(_first + row, first);

        void Put(int at, int where, int value, bool isEntry)
        {
            if (layout.Deltas) WindowPlace.WriteDelta(steps, layout, at, lane, where);
            else WindowPlace.WritePlain(steps, layout, at, lane, where);
            if (isEntry) WindowPlace.WriteValue(steps, layout, at, lane, value);
        }
    }

    // How many places each row takes in a window, from where the one before it ended; false when none has an entry.
    private bool Enter(int window, bool deltas)
    {
        int end = (int)Math.Min((window + 1L) * _shape.Window, int.MaxValue);
        bool any = false;
        for (int r = 0; r < _rows; r++)
        {
            int e = _next[r] = _until[r], stop = _end[r];
            while (e < stop && _columns[e] < end) e++;
            _until[r] = e;
            _places[r] = e - _next[r];
            any |= e > _next[r];
        }
        if (deltas && any) Measure(window);
        return any;
    }

    // The same with gaps.
    private void Measure(int window)
    {
        for (int r = 0; r < _rows; r++)
        {
            int before = window * _shape.Window, places = 0;
            for (int e = _next[r]; e < _until[r]; e++)
            {
                places += WindowLayout.PlacesOfGap(_columns[e] - before);
                before = _columns[e];
            }
            _places[r] = places;
        }
    }

    // Rows by their steps, most first; rows of as many keep their order.
    private void Sort()
    {
        const int Most = 256 / WindowLayout.Slots;
        Span<int> starts = stackalloc int[Most + 2];
        starts.Clear();
        for (int r = 0; r < _rows; r++) starts[Most - StepsOf(r) + 1]++;
        for (int i = 1; i < starts.Length; i++) starts[i] += starts[i - 1];
        for (int r = 0; r < _rows; r++) _order[starts[Most - StepsOf(r)]++] = r;
    }

    private int StepsOf(int row) => (_places[row] + WindowLayout.Slots - 1) / WindowLayout.Slots;

    private int Steps(int group) => StepsOf(_order[group]);
}
