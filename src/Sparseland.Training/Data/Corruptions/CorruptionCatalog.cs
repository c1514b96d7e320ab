namespace Sparseland.Training.Data.Corruptions;

/// <summary>Every corruption, as an explicit list.</summary>
public static class CorruptionCatalog
{
    /// <summary>All corruptions, family by family.</summary>
    public static IReadOnlyList<Corruption> All { get; } =
    [
        new GaussianNoise(), new ShotNoise(), new ImpulseNoise(), new SpeckleNoise(),
        new GaussianBlur(), new BoxBlur(), new DefocusBlur(), new MotionBlur(), new GlassBlur(), new ZoomBlur(),
        new Fog(), new Frost(),
        new Brightness(), new Contrast(), new Pixelate(), new Translation(),
    ];

    /// <summary>The corruption of that id, or null.</summary>
    public static Corruption? Find(string id) => All.FirstOrDefault(c => string.Equals(c.Id, id, StringComparison.OrdinalIgnoreCase));

    /// <summary>The corruption of that id.</summary>
    /// <exception cref="DataException">SL3015: there is none; the ids are listed.</exception>
    public static Corruption Get(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return Find(id) ?? throw new DataException("SL3015", $"there is no corruption '{id}'") { Try = "one of: " + string.Join(", ", All.Select(c => c.Id)) };
    }

    /// <summary>Corruptions from a list with commas; a family's name stands for all of it, <c>all</c> for every one.</summary>
    /// <exception cref="DataException">SL3015: an entry is neither; the ids are listed.</exception>
    public static IReadOnlyList<Corruption> Parse(string list)
    {
        ArgumentNullException.ThrowIfNull(list);
        var found = new List<Corruption>();
        foreach (string name in list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            IEnumerable<Corruption> some = string.Equals(name, "all", StringComparison.OrdinalIgnoreCase) ? All
                : char.IsAsciiLetter(name[0]) && Enum.TryParse(name, true, out CorruptionFamily family) && Enum.IsDefined(family) ? All.Where(c => c.Family == family)
                : [Get(name)];
            found.AddRange(some.Except(found));
        }
        return found;
    }
}
