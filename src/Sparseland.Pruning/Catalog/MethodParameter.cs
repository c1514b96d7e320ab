using System.Globalization;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Pruning.Catalog;

/// <summary>Type of a method's parameter.</summary>
public enum ParameterType
{
    /// <summary>A whole number.</summary>
    Integer,

    /// <summary>A number.</summary>
    Number,

    /// <summary>A share: 0.3 or 30%.</summary>
    Share,

    /// <summary>true or false.</summary>
    Switch,

    /// <summary>One of a list of words.</summary>
    Choice,

    /// <summary>Any text, such as a path, or a list with commas that its reader checks.</summary>
    Text,
}

/// <summary>A parameter of a method: the command line, recipes and documentation are made from it.</summary>
/// <param name="Name">Name in recipes.</param>
/// <param name="Type">Type.</param>
/// <param name="Default">Default, as it would be written.</param>
/// <param name="Description">One sentence.</param>
public sealed record MethodParameter(string Name, ParameterType Type, string Default, string Description)
{
    /// <summary>Smallest value.</summary>
    public double Min { get; init; } = double.NegativeInfinity;

    /// <summary>Largest value.</summary>
    public double Max { get; init; } = double.PositiveInfinity;

    /// <summary>The words of a choice.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>The values of another parameter with which it has an effect; null = it always has.</summary>
    public ParameterCondition? Only { get; init; }

    /// <summary>Whether it has an effect only where the pattern leaves open how many weights go: an N:M pattern fixes that in every layer, at once.</summary>
    public bool OpenCounts { get; init; }

    /// <summary>Its description with the condition under which it has an effect.</summary>
    public string Help => Only is { } only ? $"{Description}; with {only}" : Description;

    /// <summary>Checks a value and brings it into its usual form.</summary>
    /// <exception cref="PruningException">SL4002: it is not of the type, or out of range.</exception>
    public string Normalize(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        switch (Type)
        {
            case ParameterType.Text:
                return text.Length > 0 ? text : throw Wrong(text, "some text");
            case ParameterType.Switch:
                return text.ToLowerInvariant() switch { "true" or "yes" or "on" => "true", "false" or "no" or "off" => "false", _ => throw Wrong(text, "true or false") };
            case ParameterType.Choice:
                if (Choices.FirstOrDefault(c => string.Equals(c, text, StringComparison.OrdinalIgnoreCase)) is { } choice) return choice;
                throw Wrong(text, "one of " + string.Join(", ", Choices));
            case ParameterType.Integer:
                if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole) && whole >= Min && whole <= Max) return whole.ToString(CultureInfo.InvariantCulture);
                throw Wrong(text, "a whole number" + Range());
            default:
                if (Values.TryNumber(text, out double number) && number >= Min && number <= Max) return number.ToString("R", CultureInfo.InvariantCulture);
                throw Wrong(text, (Type == ParameterType.Share ? "a share such as 0.3 or 30%" : "a number") + Range());
        }
    }

    private string Range() => (double.IsInfinity(Min), double.IsInfinity(Max)) switch
    {
        (true, true) => "",
        (false, true) => $" from {Min}",
        (true, false) => $" up to {Max}",
        _ => $" from {Min} to {Max}",
    };

    private PruningException Wrong(string text, string expected) => new("SL4002", $"'{Name}: {text}': expected {expected}");
}

/// <summary>Says with which values of another parameter a parameter has an effect.</summary>
/// <param name="Parameter">The other parameter.</param>
/// <param name="Values">Its values.</param>
public sealed record ParameterCondition(string Parameter, params IReadOnlyList<string> Values)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Parameter} {string.Join(" or ", Values)}";
}

/// <summary>Numbers as people write them.</summary>
internal static class Values
{
    /// <summary>Reads 0.3, 3e-4 or 30%.</summary>
    public static bool TryNumber(string text, out double value)
    {
        string t = text.Trim();
        bool percent = t.EndsWith('%');
        bool ok = double.TryParse(percent ? t[..^1].Trim() : t, NumberStyles.Float, CultureInfo.InvariantCulture, out value) && double.IsFinite(value);
        if (percent) value /= 100;
        return ok;
    }
}

/// <summary>Checked values of a method's parameters.</summary>
public sealed class MethodArguments
{
    private readonly Dictionary<string, string> _values;
    private readonly HashSet<string> _given = new(StringComparer.OrdinalIgnoreCase);
    private readonly IReadOnlyList<MethodParameter> _parameters;

    /// <summary>Checks values; what is not given takes its default.</summary>
    /// <exception cref="PruningException">SL4010: a name is unknown (near misses are named); SL4002: a value is wrong.</exception>
    public MethodArguments(string method, IReadOnlyList<MethodParameter> parameters, IReadOnlyDictionary<string, string>? given = null)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        _parameters = parameters;
        _values = parameters.ToDictionary(p => p.Name, p => p.Normalize(p.Default), StringComparer.OrdinalIgnoreCase);
        foreach ((string name, string value) in given ?? new Dictionary<string, string>())
        {
            MethodParameter? parameter = parameters.FirstOrDefault(p => string.Equals(p.Name, name, StringComparison.OrdinalIgnoreCase));
            if (parameter is null)
            {
                string[] near = [.. parameters.Select(p => p.Name).Where(n => Layers.NameFilter.Distance(n.ToLowerInvariant(), name.ToLowerInvariant()) <= 3)];
                throw new PruningException("SL4010", $"the method '{method}' has no parameter '{name}'")
                {
                    Try = near.Length > 0 ? "did you mean " + string.Join(", ", near) : parameters.Count > 0 ? "it has " + string.Join(", ", parameters.Select(p => p.Name)) : "it has none",
                };
            }
            _values[parameter.Name] = parameter.Normalize(value);
            _given.Add(parameter.Name);
        }
    }

    /// <summary>Checks that every value other than the default has an effect beside the other values and the pattern. Not done while values are set one by one: their order does not matter.</summary>
    /// <param name="pattern">The pattern; null is not looked at.</param>
    /// <exception cref="PruningException">SL4002: a value would be ignored.</exception>
    public void RequireConsistent(SparsityPattern? pattern = null)
    {
        foreach (MethodParameter parameter in _parameters)
        {
            if (_values[parameter.Name] == parameter.Normalize(parameter.Default)) continue;
            if (parameter.OpenCounts && pattern is { Kind: SparsityKind.NofM })
                throw new PruningException("SL4002", $"'{parameter.Name}: {_values[parameter.Name]}' has no effect with the pattern {pattern}") { Because = $"{pattern} fixes how many weights go, in every layer and at once", Try = $"leave {parameter.Name} out, or another pattern" };
            if (parameter.Only is not { } only || only.Values.Contains(_values[only.Parameter])) continue;
            throw new PruningException("SL4002", $"'{parameter.Name}: {_values[parameter.Name]}' has no effect with {only.Parameter} {_values[only.Parameter]}") { Try = $"{only}, or leave {parameter.Name} out" };
        }
    }

    /// <summary>Whether a value was given; otherwise it is the default, which a method may fit to what else it was told.</summary>
    public bool IsGiven(string name) => _given.Contains(name);

    /// <summary>All values by name, as they would be written.</summary>
    public IReadOnlyDictionary<string, string> Values => _values;

    /// <summary>A whole number.</summary>
    public int Int(string name) => int.Parse(_values[name], CultureInfo.InvariantCulture);

    /// <summary>A number or share.</summary>
    public double Number(string name) => double.Parse(_values[name], CultureInfo.InvariantCulture);

    /// <summary>A switch.</summary>
    public bool Switch(string name) => _values[name] == "true";

    /// <summary>A choice.</summary>
    public string Choice(string name) => _values[name];

    /// <summary>Free text.</summary>
    public string Text(string name) => _values[name];

    /// <summary>A list of numbers with commas, such as 5%, 0.1, 80%.</summary>
    /// <param name="name">The parameter.</param>
    /// <param name="min">Smallest entry.</param>
    /// <param name="max">Largest entry.</param>
    /// <exception cref="PruningException">SL4002: it is empty, or an entry is no number in the range.</exception>
    public IReadOnlyList<double> Numbers(string name, double min = double.NegativeInfinity, double max = double.PositiveInfinity)
    {
        var numbers = new List<double>();
        foreach (string entry in _values[name].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!Catalog.Values.TryNumber(entry, out double number) || number < min || number > max)
                throw new PruningException("SL4002", $"'{name}: {_values[name]}': '{entry}' is no number from {min:G} to {max:G}") { Try = "numbers with commas between them, for example 5%, 20%, 80%" };
            numbers.Add(number);
        }
        return numbers.Count > 0 ? numbers : throw new PruningException("SL4002", $"'{name}' is empty") { Try = "numbers with commas between them, for example 5%, 20%, 80%" };
    }
}
