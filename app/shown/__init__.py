"""How documents are sent that others embed, and what embeds them: `expand=`."""
