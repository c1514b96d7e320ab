namespace Sparseland.Model.Formats.TorchCheckpoint;

/// <summary>A Python dictionary; keys that are no text, numbers or booleans are kept as their description.</summary>
internal sealed class PickleDict
{
    internal List<KeyValuePair<object?, object?>> Items { get; } = [];

    internal Dictionary<string, int> Index { get; } = new(StringComparer.Ordinal);

    internal object? Find(string key) => Index.TryGetValue(key, out int i) ? Items[i].Value : null;

    internal void Set(object? key, object? value)
    {
        string name = PickleText.Key(key);
        if (Index.TryGetValue(name, out int i)) Items[i] = new(key, value);
        else
        {
            Index[name] = Items.Count;
            Items.Add(new(key, value));
        }
    }
}

/// <summary>A Python list, set or frozenset.</summary>
internal sealed class PickleList
{
    internal List<object?> Items { get; } = [];
}

/// <summary>A Python tuple or torch.Size.</summary>
internal sealed record PickleTuple(object?[] Items);

/// <summary>A name that the pickle asked for and that is allowed: a function, a class or a constant.</summary>
internal sealed record PickleGlobal(string Module, string Name)
{
    internal string FullName => $"{Module}.{Name}";
}

/// <summary>A constant without further meaning here: a torch.device, torch.dtype, NumPy dtype.</summary>
internal sealed record PickleConstant(string Text);

/// <summary>How values are shown and named.</summary>
internal static class PickleText
{
    internal static string Key(object? key) => key switch
    {
        string s => s,
        null => "None",
        _ => Describe(key),
    };

    internal static string Describe(object? value) => value switch
    {
        null => "None",
        string s => s,
        bool b => b ? "True" : "False",
        IFormattable f => f.ToString(null, System.Globalization.CultureInfo.InvariantCulture),
        byte[] b => $"bytes[{b.Length}]",
        PickleConstant c => c.Text,
        PickleGlobal g => g.FullName,
        PickleTuple t => $"tuple[{t.Items.Length}]",
        PickleList l => $"list[{l.Items.Count}]",
        PickleDict d => $"dict[{d.Items.Count}]",
        TorchTensor t => t.ToString(),
        _ => value.GetType().Name,
    };
}
