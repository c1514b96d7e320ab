using System.Text;

namespace Sparseland.Pruning.Recipes;

/// <summary>Writes recipes as YAML, always in the same order.</summary>
internal static class RecipeWriter
{
    public static string Write(Recipe recipe)
    {
        var yaml = new StringBuilder();
        yaml.Append("# ").Append(recipe.Method.Title).Append(": ").Append(recipe.Method.Paper).Append('\n');
        yaml.Append("method: ").Append(recipe.Method.Id).Append('\n');
        string[] order = [.. RecipeKeys.All, .. recipe.Raw.Keys.Where(k => k.StartsWith("parameters.", StringComparison.Ordinal))];
        string section = "";
        // Parameters of the method come before training, as they do in people's heads.
        foreach (string key in order.Where(recipe.Raw.ContainsKey).OrderBy(k => k.StartsWith("training.", StringComparison.Ordinal)))
        {
            string[] values = recipe.Raw[key];
            int dot = key.IndexOf('.', StringComparison.Ordinal);
            string indent = "", name = key;
            if (dot > 0)
            {
                if (section != key[..dot]) yaml.Append(key[..dot]).Append(":\n");
                (section, indent, name) = (key[..dot], "  ", key[(dot + 1)..]);
            }
            yaml.Append(indent).Append(name).Append(':');
            if (RecipeKeys.Lists.Contains(key))
            {
                yaml.Append(" [").AppendJoin(", ", values.Select(Quote)).Append("]\n");
            }
            else
            {
                yaml.Append(' ').Append(Quote(values[0])).Append('\n');
            }
        }
        return yaml.ToString();
    }

    private static string Quote(string value) => value.Length > 0 && value.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '+') && !value.StartsWith('-')
        ? value
        : "\"" + value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal).Replace("\t", "\\t", StringComparison.Ordinal) + "\"";
}
