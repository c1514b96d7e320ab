using Sparseland.Model;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace Sparseland.Pruning.Recipes;

/// <summary>Reads recipes from YAML. Nothing is constructed from the file but text.</summary>
public static class RecipeReader
{
    /// <summary>Longest recipe that is read, in characters.</summary>
    public const int MaxLength = 256 * 1024;

    /// <summary>Reads a file.</summary>
    /// <exception cref="PruningException">SL4012: it is no recipe; SL4010: an unknown key; SL4002: a wrong value. The place is named.</exception>
    public static Recipe Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (!File.Exists(path)) throw new PruningException("SL4012", $"there is no recipe '{path}'") { Where = path };
        if (new FileInfo(path).Length > MaxLength) throw new PruningException("SL4012", $"a recipe has at most {MaxLength:N0} bytes") { Where = path };
        return Parse(File.ReadAllText(path), path);
    }

    /// <summary>Reads text.</summary>
    /// <param name="yaml">The recipe.</param>
    /// <param name="where">What errors call it.</param>
    /// <exception cref="PruningException">As for <see cref="Read"/>.</exception>
    public static Recipe Parse(string yaml, string where = "recipe")
    {
        ArgumentNullException.ThrowIfNull(yaml);
        if (yaml.Length > MaxLength) throw new PruningException("SL4012", $"a recipe has at most {MaxLength:N0} characters") { Where = where };
        var stream = new YamlStream();
        try
        {
            RequireShallow(yaml, where);
            stream.Load(new Parser(new StringReader(yaml)));
        }
        catch (YamlException e)
        {
            throw new PruningException("SL4012", $"the recipe is no valid YAML: {e.Message}", e) { Where = $"{where}, line {e.Start.Line}" };
        }
        if (stream.Documents.Count != 1 || stream.Documents[0].RootNode is not YamlMappingNode root) throw new PruningException("SL4012", "a recipe is one list of 'key: value' lines") { Where = where, Try = "method: magnitude" };
        var entries = new List<(string Key, string[] Values, long Line)>();
        Flatten(root, "", 0, where, entries);
        (string Key, string[] Values, long Line) method = entries.Find(e => e.Key == "method");
        if (method.Key is null) throw new PruningException("SL4012", "the recipe names no method") { Where = where, Try = "method: magnitude" };
        Recipe recipe = At(where, method.Line, () => Recipe.Of(method.Values.Length == 1 ? method.Values[0] : ""));
        // The pattern and the sparsity depend on each other only through the method; each entry is checked on its own line.
        foreach ((string key, string[] values, long line) in entries)
        {
            if (key != "method") recipe = At(where, line, () => recipe.With(key, values));
        }
        return recipe;
    }

    /// <summary>The node model is built by recursion: depth is limited on the flat stream of events before, and references (which can multiply) are refused.</summary>
    private static void RequireShallow(string yaml, string where)
    {
        var parser = new Parser(new StringReader(yaml));
        int depth = 0;
        while (parser.MoveNext())
        {
            if (parser.Current is MappingStart or SequenceStart) depth++;
            if (parser.Current is MappingEnd or SequenceEnd) depth--;
            if (depth > 4) throw new PruningException("SL4012", "the recipe is nested too deeply") { Where = $"{where}, line {parser.Current!.Start.Line}" };
            if (parser.Current is AnchorAlias) throw new PruningException("SL4012", "recipes do not use references (*name)") { Where = $"{where}, line {parser.Current.Start.Line}" };
        }
    }

    private static Recipe At(string where, long line, Func<Recipe> step)
    {
        try
        {
            return step();
        }
        catch (SparselandException e)
        {
            throw new PruningException(e.Code, e.Message, e) { Where = $"{where}, line {line}", Because = e.Because, Try = e.Try };
        }
        catch (ArgumentException e)
        {
            throw new PruningException("SL4012", "a value is empty", e) { Where = $"{where}, line {line}" };
        }
    }

    private static void Flatten(YamlMappingNode node, string prefix, int depth, string where, List<(string, string[], long)> entries)
    {
        foreach ((YamlNode keyNode, YamlNode valueNode) in node.Children)
        {
            if (keyNode is not YamlScalarNode { Value: { Length: > 0 } name }) throw new PruningException("SL4012", "a key is no word") { Where = $"{where}, line {keyNode.Start.Line}" };
            string key = prefix + name;
            switch (valueNode)
            {
                case YamlScalarNode scalar:
                    entries.Add((key, RecipeKeys.Lists.Contains(key) && string.IsNullOrEmpty(scalar.Value) ? [] : [scalar.Value ?? ""], keyNode.Start.Line));
                    break;
                case YamlSequenceNode list:
                    entries.Add((key, [.. list.Children.Select(c => c is YamlScalarNode { Value: { } text } ? text : throw new PruningException("SL4012", $"'{key}' is a list of words") { Where = $"{where}, line {c.Start.Line}" })], keyNode.Start.Line));
                    break;
                case YamlMappingNode inner when depth == 0:
                    Flatten(inner, key + ".", depth + 1, where, entries);
                    break;
                default:
                    throw new PruningException("SL4012", $"'{key}' is nested too deeply") { Where = $"{where}, line {keyNode.Start.Line}" };
            }
        }
    }
}
