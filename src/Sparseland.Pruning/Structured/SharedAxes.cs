namespace Sparseland.Pruning.Structured;

/// <summary>The axes of a model by the groups whose units lie on them: where widths are rounded.</summary>
internal sealed class SharedAxes
{
    // Narrow axes first: what they settle is given for the wider ones that contain them.
    private readonly Axis[] _axes;

    public SharedAxes(DependencyGraph dependencies)
    {
        var groupOf = new Dictionary<int, int>();
        foreach (ChannelGroup group in dependencies.Groups)
        {
            foreach (int root in group.Roots) groupOf[root] = group.Index;
        }
        var found = new Dictionary<string, Axis>(StringComparer.Ordinal);
        foreach (AxisSlot slot in dependencies.Axes.Slots)
        {
            var entries = new SortedDictionary<int, int>();
            for (int i = 0; i < slot.Size; i++)
            {
                if (groupOf.TryGetValue(dependencies.Forest.Find(slot.Offset + i), out int g)) entries[g] = entries.GetValueOrDefault(g) + 1;
            }
            // A flattened axis repeats each unit over the pixels; its width follows from the axis that has it once.
            if (entries.Count == 0 || entries.Any(e => e.Value != dependencies.Groups[e.Key].UnitCount * dependencies.Groups[e.Key].UnitWidth)) continue;
            found.TryAdd($"{slot.Size}:{string.Join(',', entries.Keys)}", new Axis(slot.Size, [.. entries.Keys.Select(g => dependencies.Groups[g])]));
        }
        _axes = [.. found.Values.OrderBy(a => a.Width).ThenBy(a => a.Groups[0].Index)];
    }

    /// <summary>Raises the numbers of kept units until every axis that loses something has a friendly width; axes that cannot stay whole.</summary>
    /// <param name="kept">Units per group, by the group's index; never lowered.</param>
    /// <param name="rounding">The multiples.</param>
    public void Round(int[] kept, WidthRounding rounding)
    {
        for (bool changed = true; changed;)
        {
            changed = false;
            foreach (Axis axis in _axes)
            {
                int multiple = rounding.MultipleFor(axis.Width);
                // The last group is the one that the fewest narrower axes depend on.
                while (Width(axis, kept) % multiple != 0 && Array.FindLast(axis.Groups, g => kept[g.Index] < g.UnitCount) is { } group)
                {
                    kept[group.Index]++;
                    changed = true;
                }
            }
        }
    }

    private static int Width(Axis axis, int[] kept)
    {
        int width = axis.Width;
        foreach (ChannelGroup group in axis.Groups) width -= (group.UnitCount - kept[group.Index]) * group.UnitWidth;
        return width;
    }

    private sealed record Axis(int Width, ChannelGroup[] Groups);
}
