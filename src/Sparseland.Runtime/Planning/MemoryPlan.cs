namespace Sparseland.Runtime.Planning;

/// <summary>Places arena values so that values that are alive at the same time do not overlap.</summary>
/// <remarks>Largest first, each at the lowest offset that is free over its whole life: simple, and close to the lower bound on real networks.</remarks>
internal static class MemoryPlan
{
    /// <summary>Offsets are multiples of 16 floats: one cache line.</summary>
    private const int Alignment = 16;

    /// <summary>The life of one slot, in steps.</summary>
    /// <param name="Slot">The owner of the memory.</param>
    /// <param name="First">The step that writes it.</param>
    /// <param name="Last">The last step that reads it.</param>
    internal readonly record struct Life(Slot Slot, int First, int Last)
    {
        public bool Meets(Life other) => First <= other.Last && other.First <= Last;
    }

    /// <summary>Sets every slot's offset, and of images in halves how far they lie apart, which joins their length; once for a plan. Returns the arena's length in floats.</summary>
    /// <remarks>
    /// Upper halves of images have a piece of the arena of their own, and lower halves another, laid out alike: so memory belongs to one thread in all layers, whatever their sizes. A line that the other
    /// core wrote takes some 15 ns where one line of each plane is read (Zen 5, cores that share no cache, seen once), which is more than a depthwise layer has work for.
    /// </remarks>
    public static int Place(IReadOnlyCollection<Life> lives)
    {
        Life[] halved = [.. lives.Where(l => l.Slot.InHalves)];
        int whole = PlaceWhole([.. lives.Where(l => !l.Slot.InHalves)]), piece = PlaceWhole(halved);
        foreach (Life life in halved)
        {
            life.Slot.Offset += whole;
            life.Slot.HalvesApart = piece;
            life.Slot.Length += piece;
        }
        return checked(whole + (2 * piece));
    }

    private static int PlaceWhole(Life[] lives)
    {
        var placed = new List<Life>();
        int end = 0;
        foreach (Life life in lives.OrderByDescending(l => l.Slot.Length).ThenBy(l => l.First).ThenBy(l => l.Slot.Id))
        {
            int length = Round(life.Slot.Length), offset = 0;
            foreach (Life other in placed.Where(p => p.Meets(life)).OrderBy(p => p.Slot.Offset))
            {
                if (other.Slot.Offset >= offset + length) break;
                offset = Math.Max(offset, other.Slot.Offset + Round(other.Slot.Length));
            }
            life.Slot.Offset = offset;
            placed.Add(life);
            end = Math.Max(end, checked(offset + length));
        }
        return end;
    }

    private static int Round(int length) => checked((length + Alignment - 1) / Alignment * Alignment);
}
