namespace Sparseland.Model.Graph;

/// <summary>One operator application: names of values in, names of values out, attributes.</summary>
public sealed class Node
{
    /// <summary>Creates a node.</summary>
    /// <param name="name">Unique in its graph.</param>
    /// <param name="opType">The operator's ONNX name.</param>
    /// <param name="inputs">Value or weight names; an empty string leaves an optional input out.</param>
    /// <param name="outputs">Value names; an empty string leaves an optional output out.</param>
    /// <param name="domain">The operator's domain; empty for the ONNX standard.</param>
    public Node(string name, string opType, IEnumerable<string> inputs, IEnumerable<string> outputs, string domain = "")
    {
        Name = name;
        OpType = opType;
        Domain = domain;
        Inputs = [.. inputs];
        Outputs = [.. outputs];
    }

    /// <summary>Unique in its graph.</summary>
    public string Name { get; set; }

    /// <summary>The operator's ONNX name.</summary>
    public string OpType { get; set; }

    /// <summary>The operator's domain; empty for the ONNX standard.</summary>
    public string Domain { get; set; }

    /// <summary>Names of inputs, empty string = left out.</summary>
    public List<string> Inputs { get; }

    /// <summary>Names of outputs, empty string = left out.</summary>
    public List<string> Outputs { get; }

    /// <summary>The attributes.</summary>
    public NodeAttributes Attributes { get; } = new();

    /// <summary>Input <paramref name="index"/>, or an empty string when it is left out.</summary>
    public string Input(int index) => index < Inputs.Count ? Inputs[index] : "";

    /// <summary>Whether input <paramref name="index"/> is present.</summary>
    public bool HasInput(int index) => Input(index).Length > 0;

    /// <summary>Output <paramref name="index"/>, or an empty string when it is left out.</summary>
    public string Output(int index) => index < Outputs.Count ? Outputs[index] : "";

    /// <summary>A copy with lists of its own.</summary>
    public Node Clone()
    {
        var copy = new Node(Name, OpType, Inputs, Outputs, Domain);
        foreach (string key in Attributes.Names) copy.Attributes.SetValue(key, Attributes.Value(key)!);
        return copy;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{OpType} '{Name}' ({string.Join(", ", Inputs)}) -> ({string.Join(", ", Outputs)})";
}

/// <summary>A node's attributes: numbers, strings, lists of them, tensors, graphs.</summary>
/// <remarks>Values are <see cref="long"/>, <see cref="float"/>, <see cref="string"/>, arrays of those, <see cref="TensorData"/> or <see cref="ModelGraph"/>;
/// a string of a file that is not valid UTF-8 is a byte array.</remarks>
public sealed class NodeAttributes
{
    private readonly SortedDictionary<string, object> _values = new(StringComparer.Ordinal);

    /// <summary>The names that are set, sorted.</summary>
    public IEnumerable<string> Names => _values.Keys;

    /// <summary>Number of attributes.</summary>
    public int Count => _values.Count;

    /// <summary>Whether the attribute is set.</summary>
    public bool Has(string name) => _values.ContainsKey(name);

    /// <summary>The value, or null.</summary>
    public object? Value(string name) => _values.GetValueOrDefault(name);

    /// <summary>An integer.</summary>
    public long Int(string name, long fallback) => Get(name, fallback);

    /// <summary>A float.</summary>
    public float Float(string name, float fallback) => Get(name, fallback);

    /// <summary>A string.</summary>
    public string String(string name, string fallback) => Get(name, fallback);

    /// <summary>A list of integers, or null when it is not set.</summary>
    public long[]? Ints(string name) => Get<long[]?>(name, null);

    /// <summary>A list of floats, or null when it is not set.</summary>
    public float[]? Floats(string name) => Get<float[]?>(name, null);

    /// <summary>A list of strings, or null when it is not set.</summary>
    public string[]? Strings(string name) => Get<string[]?>(name, null);

    /// <summary>A tensor, or null when it is not set.</summary>
    public TensorData? Tensor(string name) => Get<TensorData?>(name, null);

    /// <summary>A graph, or null when it is not set.</summary>
    public ModelGraph? Graph(string name) => Get<ModelGraph?>(name, null);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, long value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, float value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, string value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, params long[] value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, float[] value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, string[] value) => SetValue(name, value);

    /// <summary>Sets an attribute.</summary>
    public NodeAttributes Set(string name, TensorData value) => SetValue(name, value);

    /// <summary>Removes an attribute; returns whether it was there.</summary>
    public bool Remove(string name) => _values.Remove(name);

    /// <summary>Sets an attribute of any allowed type.</summary>
    /// <exception cref="ArgumentException">The value's type is no attribute type.</exception>
    public NodeAttributes SetValue(string name, object value)
    {
        if (value is not (long or float or string or long[] or float[] or string[] or TensorData or TensorData[] or ModelGraph or ModelGraph[] or byte[]))
            throw new ArgumentException($"{value?.GetType().Name ?? "null"} is no attribute type.", nameof(value));
        _values[name] = value;
        return this;
    }

    private T Get<T>(string name, T fallback) => !_values.TryGetValue(name, out object? value)
        ? fallback
        : value is T typed
            ? typed
            : throw new GraphException("SL2005", $"attribute '{name}' is a {value.GetType().Name}, not a {typeof(T).Name}");
}
